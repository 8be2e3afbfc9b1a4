"""The benchmark files of the stages run so far -> run times, beside those of the paper's Appendix B."""

import stage


def main(job) -> None:
    from fedmeta.reporting.results import run_times, write_table
    from workflow.lib.times import put_back

    write_table(run_times(put_back()), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake, keep=False)  # noqa: F821 (Snakemake provides it)
