"""What the server's aggregation decided in each stage of training -> one table, and how often it was right.

`names` among the params has (scenario, dataset, seed, scope, attackers) for each of the input's tables.
"""

import stage


def main(job) -> None:
    from fedmeta.reporting.comparison import aggregation_table, rejection_table
    from fedmeta.reporting.results import write_table

    decisions = aggregation_table(job.input.tables, job.params.names)
    write_table(decisions, job.output.decisions)
    write_table(rejection_table(decisions), job.output.rejections)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
