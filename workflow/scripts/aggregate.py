"""The tables of all evaluation jobs -> one tidy metrics.csv, in which scenarios and defences have names."""

import stage


def main(job) -> None:
    from fedmeta.reporting.results import gather, write_metrics

    write_metrics(gather(job.input.tables, job.params.names), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
