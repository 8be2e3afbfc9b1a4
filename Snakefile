# Backdoor attacks on federated meta-learning: from raw images to the paper's figures.
import gc

from snakemake.utils import min_version

min_version("9.8")
# The graph of jobs stays to the end: to look through it for garbage costs a twelfth of a dry run.
gc.set_threshold(100_000)


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/raw_data.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/learning.smk"
include: "workflow/rules/attacks.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/defences.smk"
include: "workflow/rules/reporting.smk"


if SHARED:  # Snakemake refuses to time what it may take from elsewhere
    for each in workflow.rules:
        if each.cache:
            each._benchmark = None


rule all:
    default_target: True
    input:
        figures(),
        "results/metrics.csv",
        "results/tables/summary.csv",
        "results/tables/run_times.csv",
        "results/tables/paper_against_ours.csv",
    localrule: True
