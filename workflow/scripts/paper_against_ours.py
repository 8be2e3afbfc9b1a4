"""metrics.csv and run_times.csv -> each number of the paper beside ours, as a table and as a figure (PNG and SVG).

Params: `setups`, {settings, defences} of the scenario by data set; `made_by`, see `fedmeta.paper.run_times.behind`.
"""

from pathlib import Path

import stage


def main(job) -> None:
    import pandas as pd

    from fedmeta.paper.against_ours import compare
    from fedmeta.paper.against_ours_figure import draw_comparison
    from fedmeta.paper.numbers import read_numbers
    from fedmeta.paper.run_times import behind
    from fedmeta.reporting.results import read_metrics, write_table
    from fedmeta.reporting.setup import Setup

    metrics = read_metrics(job.input.metrics)
    own = metrics[metrics.scenario == job.wildcards.scenario]
    times = behind(own, pd.read_csv(job.input.times), job.params.made_by)
    setups = {dataset: Setup.of(given) for dataset, given in job.params.setups.items()}
    table = compare(read_numbers(job.input.numbers), own, times, setups)
    draw_comparison(table, Path(job.output.png).with_suffix(""))
    write_table(table, job.output.table)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
