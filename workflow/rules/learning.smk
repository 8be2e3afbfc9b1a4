# ----------------------------------------------------------------------
# Benign pre-training, the attack, benign meta-training after it
# scope: the backdoor and target classes are excluded from | included in benign data
# ----------------------------------------------------------------------
rule pretrain:
    input:
        **takes.images("pretrain"),
    output:
        **outputs_of("pretrain"),
    log:
        log_of("pretrain"),
    benchmark:
        benchmark_of("pretrain")
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=takes.param("pretrain"),
        methods=takes.methods("pretrain"),
        seed=lambda w: int(w.seed),
    message:
        "{wildcards.scenario}: pre-training on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/pretrain.py"


rule attack:
    input:
        **takes.images("attack"),
        **takes.attack_images("attack"),
        model=takes.output("attack", "pretrain"),
        files=takes.files("attack"),
    output:
        **outputs_of("attack"),
    log:
        log_of("attack"),
    benchmark:
        benchmark_of("attack")
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=takes.param("attack"),
        methods=takes.methods("attack"),
        seed=lambda w: int(w.seed),
    message:
        "{wildcards.scenario}: attacking on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/attack.py"


rule meta_train_after:
    input:
        **takes.images("meta_train_after"),
        **takes.attack_images("meta_train_after"),
        model=takes.output("meta_train_after", "attack"),
        files=takes.files("meta_train_after"),
    output:
        **outputs_of("meta_train_after"),
    log:
        log_of("meta_train_after"),
    benchmark:
        benchmark_of("meta_train_after")
    threads: config["threads"]
    resources:
        gpu=1,
    params:
        settings=takes.param("meta_train_after"),
        methods=takes.methods("meta_train_after"),
        seed=lambda w: int(w.seed),
    message:
        "{wildcards.scenario}: meta-training after the attack on {wildcards.dataset}, seed {wildcards.seed}, backdoor classes {wildcards.scope}"
    script:
        "../scripts/meta_train_after.py"
