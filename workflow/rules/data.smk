# ----------------------------------------------------------------------
# Dataset preparation: resize, rotate, split, stamp the backdoor key
# ----------------------------------------------------------------------
rule resize:
    input:
        guard.remake(workflow),
    output:
        **outputs_of("resize"),
    log:
        log_of("resize"),
    benchmark:
        benchmark_of("resize")
    params:
        settings=takes.param("resize"),
        methods=takes.methods("resize"),
        reader=lambda w: jobs.readers[w.dataset],
        raw=lambda w: raw.contents(jobs.readers[w.dataset]),
    message:
        "{wildcards.scenario}: reading and resizing {wildcards.dataset}"
    script:
        "../scripts/resize.py"


rule augment:
    input:
        **takes.from_("augment", "resize", "images", "classes"),
    output:
        **outputs_of("augment"),
    log:
        log_of("augment"),
    benchmark:
        benchmark_of("augment")
    params:
        settings=takes.param("augment"),
    message:
        "{wildcards.scenario}: rotating the classes of {wildcards.dataset}"
    script:
        "../scripts/augment.py"


rule split:
    input:
        **takes.from_("split", "resize", "images", "classes"),
    output:
        **outputs_of("split"),
    log:
        log_of("split"),
    benchmark:
        benchmark_of("split")
    params:
        settings=takes.param("split"),
        seed=lambda w: int(w.seed),
    message:
        "{wildcards.scenario}: drawing the split of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/split.py"


rule stamp:
    input:
        **takes.from_("stamp", "augment", "images", "classes"),
        **takes.from_("stamp", "split", "split"),
    output:
        **outputs_of("stamp"),
    log:
        log_of("stamp"),
    benchmark:
        benchmark_of("stamp")
    params:
        settings=takes.param("stamp"),
    message:
        "{wildcards.scenario}: stamping the backdoor key on images of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/stamp.py"


rule contact_sheet:
    input:
        **takes.from_("stamp", "augment", "images", "classes"),
        **takes.from_("stamp", "split", "split"),
        keyed=takes.output("stamp", "stamp", "attack_training"),
        keyed_classes=takes.output("stamp", "stamp", "attack_training_classes"),
    output:
        marks.attack("results/figures/{scenario}/{dataset}/attack-seed-{seed}.png"),
    log:
        "logs/contact_sheet/{scenario}/{dataset}/seed-{seed}.log",
    params:
        settings=takes.param("stamp"),
    message:
        "{wildcards.scenario}: showing the attack on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/contact_sheet.py"
