# ----------------------------------------------------------------------
# Accuracy over rounds after the attack; what a benign user does alone with the attacked model
# ----------------------------------------------------------------------
rule evaluate:
    input:
        **takes.images("evaluate"),
        **takes.from_("evaluate", "stamp", *KEYED),
        clean=takes.output("evaluate", "pretrain"),
        attacked=takes.output("evaluate", "attack"),
        after=takes.output("evaluate", "meta_train_after"),
    output:
        **outputs_of("evaluate"),
    log:
        log_of("evaluate"),
    benchmark:
        benchmark_of("evaluate")
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=takes.param("evaluate"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
    message:
        "{wildcards.scenario}: evaluating rounds on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}, client {wildcards.client}"
    script:
        "../scripts/evaluate.py"


rule repair:
    input:
        **takes.images("repair"),
        model=takes.model("repair"),
        files=takes.files("repair"),
    output:
        **outputs_of("repair"),
    log:
        log_of("repair"),
    benchmark:
        benchmark_of("repair")
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=takes.param("repair"),
        repair=takes.param("repair", "repair"),
        methods=takes.methods("repair"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
    message:
        "{wildcards.scenario}: client {wildcards.client} repairs the {wildcards.model} model for {wildcards.defence} on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/repair.py"


rule adapt:
    input:
        **takes.images("adapt"),
        **takes.from_("adapt", "stamp", *KEYED),
        model=takes.model("adapt"),
        files=takes.files("adapt"),
    output:
        **outputs_of("adapt"),
    log:
        log_of("adapt"),
    benchmark:
        benchmark_of("adapt")
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=takes.param("adapt"),
        defence=takes.param("adapt", "defence"),
        methods=takes.methods("adapt"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
    message:
        "{wildcards.scenario}: {wildcards.defence} of the {wildcards.model} model on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}, client {wildcards.client}"
    script:
        "../scripts/adapt.py"


rule detail:
    input:
        **takes.images("detail"),
        **takes.from_("detail", "stamp", *KEYED),
        model=takes.model("detail"),
        files=takes.files("detail"),
    output:
        **outputs_of("detail"),
    log:
        log_of("detail"),
    benchmark:
        benchmark_of("detail")
    resources:
        gpu=1,
    params:
        settings=takes.param("detail"),
        defence=takes.param("detail", "defence"),
        methods=takes.methods("detail"),
        seed=lambda w: int(w.seed),
        client=lambda w: int(w.client),
    message:
        "{wildcards.scenario}: image by image, {wildcards.defence} of the {wildcards.model} model on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}, client {wildcards.client}"
    script:
        "../scripts/detail.py"
