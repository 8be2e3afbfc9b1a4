# ----------------------------------------------------------------------
# Experiment 1: accuracy over rounds of benign meta-training after the attack
# ----------------------------------------------------------------------
EVALUATION_INPUT = dict(
    images=rules.augment.output.images,
    classes=rules.augment.output.classes,
    split=rules.split.output[0],
    attack_training=rules.stamp.output.attack_training,
    attack_training_classes=rules.stamp.output.attack_training_classes,
    attack_validation=rules.stamp.output.attack_validation,
    attack_validation_classes=rules.stamp.output.attack_validation_classes,
)


rule evaluate:
    input:
        **EVALUATION_INPUT,
        clean=rules.pretrain.output[0],
        attacked=rules.attack.output[0],
        after=rules.meta_train_after.output[0],
    output:
        f"{RUN}/evaluate/client-{{client}}.csv",
    log:
        "logs/evaluate/{dataset}/seed-{seed}/{scope}/client-{client}.log",
    benchmark:
        "logs/benchmarks/evaluate/{dataset}/seed-{seed}/{scope}/client-{client}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=take(*EVALUATION, "evaluation.rounds", "evaluation.inner_steps"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
    message:
        "Evaluating rounds on {wildcards.dataset}, seed {wildcards.seed}, {wildcards.scope}, client {wildcards.client}"
    script:
        "../scripts/evaluate.py"
