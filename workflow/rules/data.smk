# ----------------------------------------------------------------------
# Dataset preparation: resize, rotate, split, stamp the backdoor key
# ----------------------------------------------------------------------
PREPARED = "data/prepared/{dataset}"
SEEDED = f"{PREPARED}/seed-{{seed}}"


rule resize:
    input:
        guard.remake(workflow),
    output:
        images=f"{PREPARED}/resized.npy",
        classes=f"{PREPARED}/resized.csv",
    log:
        "logs/resize/{dataset}.log",
    benchmark:
        "logs/benchmarks/resize/{dataset}.tsv"
    params:
        reader=lambda w: code.versions(f"fedmeta/data/readers/{w.dataset}.py"),
        dataset=lambda w: w.dataset,
        raw=lambda w: raw.contents(w.dataset),
        size=lambda w: settings(w.dataset)["data"]["size"],
    message:
        "Reading and resizing {wildcards.dataset}"
    script:
        "../scripts/resize.py"


rule augment:
    input:
        images=rules.resize.output.images,
        classes=rules.resize.output.classes,
    output:
        images=f"{PREPARED}/images.npy",
        classes=f"{PREPARED}/images.csv",
    log:
        "logs/augment/{dataset}.log",
    benchmark:
        "logs/benchmarks/augment/{dataset}.tsv"
    params:
        rotations=lambda w: settings(w.dataset)["data"]["rotations"],
    message:
        "Rotating the classes of {wildcards.dataset}"
    script:
        "../scripts/augment.py"


rule split:
    input:
        images=rules.resize.output.images,
        classes=rules.resize.output.classes,
    output:
        f"{SEEDED}/split.csv",
    log:
        "logs/split/{dataset}/seed-{seed}.log",
    benchmark:
        "logs/benchmarks/split/{dataset}/seed-{seed}.tsv"
    params:
        settings=take("split", "federation.users", "federation.attacker"),
        seed=lambda w: int(w.seed),
    message:
        "Drawing the split of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/split.py"


rule stamp:
    input:
        images=rules.augment.output.images,
        classes=rules.augment.output.classes,
        split=rules.split.output[0],
    output:
        attack_training=f"{SEEDED}/attack_training.npy",
        attack_training_classes=f"{SEEDED}/attack_training.csv",
        attack_validation=f"{SEEDED}/attack_validation.npy",
        attack_validation_classes=f"{SEEDED}/attack_validation.csv",
    log:
        "logs/stamp/{dataset}/seed-{seed}.log",
    benchmark:
        "logs/benchmarks/stamp/{dataset}/seed-{seed}.tsv"
    params:
        trigger=lambda w: settings(w.dataset)["data"]["trigger"],
    message:
        "Stamping the backdoor key on images of {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/stamp.py"


rule contact_sheet:
    input:
        images=rules.augment.output.images,
        classes=rules.augment.output.classes,
        split=rules.split.output[0],
        keyed=rules.stamp.output.attack_training,
        keyed_classes=rules.stamp.output.attack_training_classes,
    output:
        "results/figures/{dataset}/attack-seed-{seed}.png",
    log:
        "logs/contact_sheet/{dataset}/seed-{seed}.log",
    params:
        trigger=lambda w: settings(w.dataset)["data"]["trigger"],
    message:
        "Showing the attack on {wildcards.dataset}, seed {wildcards.seed}"
    script:
        "../scripts/contact_sheet.py"
