"""The benchmark files of the stages run so far -> run times, beside those of the paper's Appendix B."""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.reporting.results import run_times, write_table

    write_table(run_times(sorted(Path(job.params.benchmarks).rglob("*.tsv"))), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
