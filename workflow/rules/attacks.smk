# ----------------------------------------------------------------------
# The one-shot attack: the attacker trains, boosts its update, one round is aggregated
# ----------------------------------------------------------------------
rule attack:
    input:
        images=rules.augment.output.images,
        classes=rules.augment.output.classes,
        split=rules.split.output[0],
        keyed=rules.stamp.output.attack_training,
        keyed_classes=rules.stamp.output.attack_training_classes,
        model=rules.pretrain.output[0],
    output:
        f"{RUN}/attacked.safetensors",
    log:
        "logs/attack/{dataset}/seed-{seed}/{scope}.log",
    benchmark:
        "logs/benchmarks/attack/{dataset}/seed-{seed}/{scope}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=take(*LEARNING, "attack", "meta_train_after.meta_steps", "meta_train_after.outer_learning_rate"),
        seed=lambda w: int(w.seed),
    message:
        "Attacking on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/attack.py"
