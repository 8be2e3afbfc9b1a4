# ----------------------------------------------------------------------
# Benign meta-training, before and after the attack
# scope: excluded | included, the backdoor and target classes from or in benign data
# ----------------------------------------------------------------------


rule pretrain:
    input:
        images=rules.augment.output.images,
        classes=rules.augment.output.classes,
        split=rules.split.output[0],
    output:
        f"{RUN}/pretrained.safetensors",
    log:
        "logs/pretrain/{dataset}/seed-{seed}/{scope}.log",
    benchmark:
        "logs/benchmarks/pretrain/{dataset}/seed-{seed}/{scope}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=take(*LEARNING, "pretrain"),
        seed=lambda w: int(w.seed),
        scope=lambda w: w.scope,
    message:
        "Pre-training on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/pretrain.py"


rule meta_train_after:
    input:
        images=rules.augment.output.images,
        classes=rules.augment.output.classes,
        split=rules.split.output[0],
        model=f"{RUN}/attacked.safetensors",
    output:
        f"{RUN}/after.safetensors",
    log:
        "logs/meta_train_after/{dataset}/seed-{seed}/{scope}.log",
    benchmark:
        "logs/benchmarks/meta_train_after/{dataset}/seed-{seed}/{scope}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=take(*LEARNING, "meta_train_after"),
        seed=lambda w: int(w.seed),
    message:
        "Meta-training after the attack on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/meta_train_after.py"


rule local_meta_train:
    input:
        images=rules.augment.output.images,
        classes=rules.augment.output.classes,
        split=rules.split.output[0],
        model=f"{RUN}/{{model}}.safetensors",
    output:
        f"{RUN}/local-{{episodes}}/client-{{client}}/{{model}}.safetensors",
    log:
        "logs/local_meta_train/{dataset}/seed-{seed}/{scope}/local-{episodes}/client-{client}/{model}.log",
    benchmark:
        "logs/benchmarks/local_meta_train/{dataset}/seed-{seed}/{scope}/local-{episodes}/client-{client}/{model}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=take(*LEARNING, "local_meta_training.outer_learning_rate"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
        episodes=lambda w: int(w.episodes),
    message:
        "Meta-training client {wildcards.client} alone on {wildcards.dataset}, seed {wildcards.seed}, {wildcards.scope}, {wildcards.episodes} episodes from {wildcards.model}"
    script:
        "../scripts/local_meta_train.py"
