# Backdoor attacks on federated meta-learning: from raw images to the paper's figures.
from snakemake.utils import min_version

min_version("9.8")


report: "workflow/report/workflow.rst"


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
        ["results/metrics.csv", "results/tables/aggregation.csv"],
        expand("results/tables/{table}.{kind}", table=marks.tables(), kind=["csv", "html"]),
    localrule: True
    message:
        "All figures and tables are there"
