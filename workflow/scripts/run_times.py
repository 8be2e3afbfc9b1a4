"""The benchmark files of the stages run so far -> run times, beside those of the paper's Appendix B.

`methods` among the params are those of the defences, by scenario and name.
"""

import stage


def main(job) -> None:
    from fedmeta.reporting.results import write_table
    from fedmeta.reporting.run_times import run_times
    from workflow.lib.times import put_back

    write_table(run_times(put_back(), job.params.methods), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake, keep=False)  # noqa: F821 (Snakemake provides it)
