"""metrics.csv -> means with 95% confidence intervals, and the attack's lift."""

import stage


def main(job) -> None:
    from fedmeta.reporting.results import read_metrics, summary_table, write_table

    write_table(summary_table(read_metrics(job.input.metrics)), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
