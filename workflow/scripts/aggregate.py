"""The tables of all evaluation jobs -> one tidy metrics.csv."""

import stage


def main(job) -> None:
    from fedmeta.reporting.results import read_metrics, write_metrics

    write_metrics(read_metrics(job.input.tables), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
