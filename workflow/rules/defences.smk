# ----------------------------------------------------------------------
# Experiments 2 and 3: what a benign user does alone with the attacked model
# ----------------------------------------------------------------------
rule fine_tune:
    input:
        **EVALUATION_INPUT,
        clean=lambda w: model_of(w, "pretrained"),
        attacked=lambda w: model_of(w, "attacked"),
    output:
        f"{RUN}/fine_tune/{{variant}}/client-{{client}}.csv",
    log:
        "logs/fine_tune/{dataset}/seed-{seed}/{scope}/{variant}/client-{client}.log",
    benchmark:
        "logs/benchmarks/fine_tune/{dataset}/seed-{seed}/{scope}/{variant}/client-{client}.tsv"
    wildcard_constraints:
        variant=SUPERVISED,
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=lambda w: take(*EVALUATION, "fine_tuning", *(["glorot_mix"] if "-" in w.variant else []))(w),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
        defence=lambda w: variant_of(w)[0],
        delta=lambda w: variant_of(w)[1],
    message:
        "Fine-tuning on {wildcards.dataset}, seed {wildcards.seed}, {wildcards.scope}, {wildcards.variant}, client {wildcards.client}"
    script:
        "../scripts/fine_tune.py"


rule defend:
    input:
        **EVALUATION_INPUT,
        clean=lambda w: model_of(w, "pretrained"),
        attacked=lambda w: model_of(w, "attacked"),
    output:
        f"{RUN}/defend/{{variant}}/client-{{client}}.csv",
    log:
        "logs/defend/{dataset}/seed-{seed}/{scope}/{variant}/client-{client}.log",
    benchmark:
        "logs/benchmarks/defend/{dataset}/seed-{seed}/{scope}/{variant}/client-{client}.tsv"
    wildcard_constraints:
        variant=MATCHING,
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=take(*EVALUATION, "matching", "glorot_mix"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
        defence=lambda w: variant_of(w)[0],
        delta=lambda w: variant_of(w)[1],
    message:
        "Defending on {wildcards.dataset}, seed {wildcards.seed}, {wildcards.scope}, {wildcards.variant}, client {wildcards.client}"
    script:
        "../scripts/defend.py"
