"""metrics.csv -> accuracies at the last step, with floor and lift, scenario by scenario."""

import stage


def main(job) -> None:
    from fedmeta.reporting.comparison import comparison_table
    from fedmeta.reporting.results import read_metrics, write_table

    write_table(comparison_table(read_metrics(job.input.metrics)), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
