# ----------------------------------------------------------------------
# Tidy metrics, summaries, run times, figures
# ----------------------------------------------------------------------
rule aggregate:
    input:
        tables=targets.metrics_tables(),
    output:
        "results/metrics.csv",
    log:
        "logs/aggregate.log",
    localrule: True
    message:
        "Gathering the metrics of all runs"
    script:
        "../scripts/aggregate.py"


rule summary:
    input:
        metrics=rules.aggregate.output[0],
    output:
        "results/tables/summary.csv",
    log:
        "logs/summary.log",
    localrule: True
    message:
        "Summarising the metrics"
    script:
        "../scripts/summary.py"


rule run_times:
    input:
        metrics=rules.aggregate.output[0],
    output:
        "results/tables/run_times.csv",
    log:
        "logs/run_times.log",
    localrule: True
    message:
        "Gathering the run times"
    script:
        "../scripts/run_times.py"


rule kernel_norms:
    input:
        models=lambda w: expand(
            f"{RUN}/{{model}}.safetensors",
            dataset=w.dataset,
            seed=config["seeds"],
            scope=scopes_of("delta", settings(w.dataset)),
            model=["pretrained", "attacked"],
        ),
    output:
        "results/tables/kernel_norms-{dataset}.csv",
    log:
        "logs/kernel_norms/{dataset}.log",
    localrule: True
    message:
        "Measuring the kernels of the models of {wildcards.dataset}"
    script:
        "../scripts/kernel_norms.py"


rule paper_against_ours:
    input:
        numbers="fedmeta/reporting/paper_numbers.csv",
        metrics=rules.aggregate.output[0],
        times=rules.run_times.output[0],
    output:
        table="results/tables/paper_against_ours.csv",
        png="results/figures/paper_against_ours.png",
        svg="results/figures/paper_against_ours.svg",
    log:
        "logs/paper_against_ours.log",
    localrule: True
    params:
        settings=jobs.take_each(*SCALE),
    message:
        "Comparing the paper's numbers with ours"
    script:
        "../scripts/paper_against_ours.py"


rule figure:
    input:
        tables=lambda w: targets.tables_of(w.dataset, w.figure),
    output:
        png="results/figures/{dataset}/figure-{figure}.png",
        svg="results/figures/{dataset}/figure-{figure}.svg",
    log:
        "logs/figure/{dataset}/{figure}.log",
    localrule: True
    params:
        way=lambda w: settings(w.dataset)["reptile"]["way"],
        order=lambda w: settings(w.dataset)["evaluation"]["target_output"],
        content=lambda w: list(contents_of(w.figure, settings(w.dataset))[0]),
    message:
        "Drawing figure {wildcards.figure} of {wildcards.dataset}"
    script:
        "../scripts/figure.py"


rule figure_ablation:
    input:
        tables=lambda w: targets.tables_of(w.dataset, "ablation"),
    output:
        png="results/figures/{dataset}/figure-ablation.png",
        svg="results/figures/{dataset}/figure-ablation.svg",
    log:
        "logs/figure/{dataset}/ablation.log",
    localrule: True
    params:
        way=lambda w: settings(w.dataset)["reptile"]["way"],
        learning_rate=lambda w: settings(w.dataset)["reptile"]["inner_learning_rate"],
        cases=lambda w: cases_of("ablation", settings(w.dataset)),
    message:
        "Drawing the ablation of the defence on {wildcards.dataset}"
    script:
        "../scripts/figure_ablation.py"


rule figure_order:
    input:
        tables=lambda w: targets.tables_of(w.dataset, "order"),
    output:
        png="results/figures/{dataset}/figure-order.png",
        svg="results/figures/{dataset}/figure-order.svg",
    log:
        "logs/figure/{dataset}/order.log",
    localrule: True
    params:
        way=lambda w: settings(w.dataset)["reptile"]["way"],
        defences=lambda w: {order: with_order(order, settings(w.dataset)) for order in ORDERS},
        trained=lambda w: settings(w.dataset)["attack"]["target_output"],
    message:
        "Drawing the attack with both orders of the victim's classes on {wildcards.dataset}"
    script:
        "../scripts/figure_order.py"


rule figure_delta:
    input:
        tables=lambda w: targets.tables_of(w.dataset, "delta"),
        norms=rules.kernel_norms.output[0],
    output:
        png="results/figures/{dataset}/figure-delta.png",
        svg="results/figures/{dataset}/figure-delta.svg",
    log:
        "logs/figure/{dataset}/delta.log",
    localrule: True
    params:
        way=lambda w: settings(w.dataset)["reptile"]["way"],
        cases=lambda w: cases_of("delta", settings(w.dataset)),
        defences=lambda w: {norms: with_norms(norms, settings(w.dataset)) for norms in NORMS},
    message:
        "Drawing accuracy over delta of {wildcards.dataset}"
    script:
        "../scripts/figure_delta.py"
