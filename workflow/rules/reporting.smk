# ----------------------------------------------------------------------
# Tidy metrics, summaries, run times, figures
# ----------------------------------------------------------------------
rule aggregate:
    input:
        tables=metrics_tables(),
    output:
        "results/metrics.csv",
    log:
        "logs/aggregate.log",
    localrule: True
    conda:
        "../envs/fedmeta.yaml"
    params:
        **code_of("aggregate"),
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
    conda:
        "../envs/fedmeta.yaml"
    params:
        **code_of("summary"),
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
    conda:
        "../envs/fedmeta.yaml"
    params:
        **code_of("run_times"),
        benchmarks="logs/benchmarks",
    message:
        "Gathering the run times"
    script:
        "../scripts/run_times.py"


rule figure:
    input:
        metrics=rules.aggregate.output[0],
    output:
        png="results/figures/{dataset}/figure-{figure}.png",
        svg="results/figures/{dataset}/figure-{figure}.svg",
    log:
        "logs/figure/{dataset}/{figure}.log",
    localrule: True
    conda:
        "../envs/fedmeta.yaml"
    params:
        **code_of("figure"),
        way=lambda w: settings(w.dataset)["reptile"]["way"],
    message:
        "Drawing figure {wildcards.figure} of {wildcards.dataset}"
    script:
        "../scripts/figure.py"
