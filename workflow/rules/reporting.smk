# ----------------------------------------------------------------------
# Tidy metrics, summaries, run times, figures
# ----------------------------------------------------------------------
rule aggregate:
    input:
        tables=[table.path for table in targets.all_tables()],
    output:
        "results/metrics.csv",
    log:
        "logs/aggregate.log",
    localrule: True
    params:
        names=[[table.scenario, table.defence] for table in targets.all_tables()],
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


rule comparison:
    input:
        metrics=rules.aggregate.output[0],
    output:
        "results/tables/comparison.csv",
    log:
        "logs/comparison.log",
    localrule: True
    message:
        "Comparing the scenarios"
    script:
        "../scripts/comparison.py"


rule aggregation:
    input:
        tables=[path for path, _ in targets.decisions()],
    output:
        decisions="results/tables/aggregation.csv",
        rejections="results/tables/rejections.csv",
    log:
        "logs/aggregation.log",
    localrule: True
    params:
        names=[run for _, run in targets.decisions()],
    message:
        "Gathering what the server decided about each update"
    script:
        "../scripts/aggregation.py"


rule run_times:
    input:
        metrics=rules.aggregate.output[0],
    output:
        "results/tables/run_times.csv",
    log:
        "logs/run_times.log",
    localrule: True
    params:
        methods=targets.methods_by_defence(),
    message:
        "Gathering the run times"
    script:
        "../scripts/run_times.py"


rule kernel_norms:
    input:
        models=lambda w: targets.models(w.scenario, w.dataset),
    output:
        "results/tables/{scenario}/kernel_norms-{dataset}.csv",
    log:
        "logs/kernel_norms/{scenario}/{dataset}.log",
    localrule: True
    message:
        "{wildcards.scenario}: measuring the kernels of the models of {wildcards.dataset}"
    script:
        "../scripts/kernel_norms.py"


rule paper_against_ours:
    input:
        numbers=located("fedmeta/paper/numbers.csv"),
        metrics=rules.aggregate.output[0],
        times=rules.run_times.output[0],
    output:
        table="results/tables/{scenario}/paper_against_ours.csv",
        png="results/figures/{scenario}/paper_against_ours.png",
        svg=marks.paper("results/figures/{scenario}/paper_against_ours.svg"),
    log:
        "logs/paper_against_ours/{scenario}.log",
    localrule: True
    params:
        setups=lambda w: {dataset: targets.setup(w.scenario, dataset) for dataset in jobs.readers},
        made_by=lambda w: {dataset: targets.made_by(w.scenario, dataset) for dataset in jobs.readers},
    message:
        "{wildcards.scenario}: comparing the paper's numbers with ours"
    script:
        "../scripts/paper_against_ours.py"


rule page:
    input:
        table="results/tables/{table}.csv",
        template=located("fedmeta/reporting/page.html"),
    output:
        marks.page("results/tables/{table}.html"),
    log:
        "logs/page/{table}.log",
    localrule: True
    params:
        title=lambda w: title_of(w.table),
    message:
        "Making a page of the table {wildcards.table}"
    script:
        "../scripts/page.py"


rule figure:
    input:
        tables=lambda w: targets.paths(w.scenario, w.dataset, w.figure),
        norms=lambda w: targets.norms(w.scenario, w.dataset, w.figure),
        keyed=lambda w: [each.keyed for each in targets.details(w.scenario, w.dataset, w.figure)],
        episodes=lambda w: [each.episode for each in targets.details(w.scenario, w.dataset, w.figure)],
    output:
        png="results/figures/{scenario}/{dataset}/figure-{figure}.png",
        svg=marks.figure("results/figures/{scenario}/{dataset}/figure-{figure}.svg"),
    log:
        "logs/figure/{scenario}/{dataset}/{figure}.log",
    localrule: True
    params:
        methods=lambda w: targets.code_of(w.scenario, w.dataset, w.figure, code),
        figure=lambda w: targets.plain_entry(w.scenario, w.dataset, w.figure),
        names=lambda w: targets.names(w.scenario, w.dataset, w.figure),
        details=lambda w: [each.name for each in targets.details(w.scenario, w.dataset, w.figure)],
        setups=lambda w: targets.setups(w.scenario, w.dataset, w.figure),
    message:
        "{wildcards.scenario}: drawing figure {wildcards.figure} of {wildcards.dataset}"
    script:
        "../scripts/figure.py"


rule figure_across:
    input:
        tables=lambda w: targets.paths(jobs.scenarios[0], w.dataset, w.figure),
    output:
        png="results/figures/{dataset}/figure-{figure}.png",
        svg=marks.figure_across("results/figures/{dataset}/figure-{figure}.svg"),
    log:
        "logs/figure_across/{dataset}/{figure}.log",
    localrule: True
    params:
        methods=lambda w: targets.code_of(jobs.scenarios[0], w.dataset, w.figure, code),
        figure=lambda w: targets.plain_entry(jobs.scenarios[0], w.dataset, w.figure),
        names=lambda w: targets.names(jobs.scenarios[0], w.dataset, w.figure),
        setups=lambda w: targets.setups(jobs.scenarios[0], w.dataset, w.figure),
    message:
        "Comparing the scenarios on {wildcards.dataset}: figure {wildcards.figure}"
    script:
        "../scripts/figure.py"
