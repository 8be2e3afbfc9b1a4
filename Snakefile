# Backdoor attacks on federated meta-learning: from raw images to the paper's figures.
from snakemake.utils import min_version

min_version("9.8")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/learning.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"


guard.complete_rules(workflow, code)


rule all:
    input:
        targets.figures(),
        "results/metrics.csv",
        [f"results/tables/{table}.csv" for table in ("summary", "run_times", "comparison", "aggregation", "rejections")],
        expand("results/tables/{scenario}/paper_against_ours.csv", scenario=targets.compared_with_paper()),
    localrule: True
