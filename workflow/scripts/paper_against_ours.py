"""metrics.csv and run_times.csv -> each number of the paper beside ours, as a table and as a figure (PNG and SVG)."""

from pathlib import Path

import stage


def main(job) -> None:
    import pandas as pd

    from fedmeta.reporting.comparison import compare
    from fedmeta.reporting.comparison_figure import draw_comparison
    from fedmeta.reporting.paper import read_numbers
    from fedmeta.reporting.results import read_metrics, write_table

    metrics, times = read_metrics([job.input.metrics]), pd.read_csv(job.input.times)
    table = compare(read_numbers(job.input.numbers), metrics, times, job.params.settings)
    draw_comparison(table, Path(job.output.png).with_suffix(""))
    write_table(table, job.output.table)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
