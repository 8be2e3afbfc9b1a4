# ----------------------------------------------------------------------
# Experiments 2 and 3: what a benign user does alone with the attacked model
# ----------------------------------------------------------------------
rule fine_tune:
    input:
        **EVALUATION_INPUT,
        clean=rules.pretrain.output[0],
        attacked=rules.attack.output[0],
    output:
        f"{RUN}/fine_tune/client-{{client}}.csv",
    log:
        "logs/fine_tune/{dataset}/seed-{seed}/{scope}/client-{client}.log",
    benchmark:
        "logs/benchmarks/fine_tune/{dataset}/seed-{seed}/{scope}/client-{client}.tsv"
    conda:
        "../envs/fedmeta.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        **code_of("fine_tune"),
        **take(*EVALUATION, "fine_tuning"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
    message:
        "Fine-tuning on {wildcards.dataset}, seed {wildcards.seed}, {wildcards.scope}, client {wildcards.client}"
    script:
        "../scripts/fine_tune.py"


rule defend:
    input:
        **EVALUATION_INPUT,
        clean=rules.pretrain.output[0],
        attacked=rules.attack.output[0],
    output:
        f"{RUN}/defend/delta-{{delta}}/client-{{client}}.csv",
    log:
        "logs/defend/{dataset}/seed-{seed}/{scope}/delta-{delta}/client-{client}.log",
    benchmark:
        "logs/benchmarks/defend/{dataset}/seed-{seed}/{scope}/delta-{delta}/client-{client}.tsv"
    conda:
        "../envs/fedmeta.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        **code_of("defend"),
        **take(*EVALUATION, "matching.iterations", "matching.warm_up", "matching.scale"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
        delta=lambda w: float(w.delta),
    message:
        "Defending on {wildcards.dataset}, seed {wildcards.seed}, {wildcards.scope}, delta {wildcards.delta}, client {wildcards.client}"
    script:
        "../scripts/defend.py"
