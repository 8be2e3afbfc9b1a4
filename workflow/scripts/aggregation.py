"""What the server's aggregation decided in each stage of training -> one table.

`names` among the params has (scenario, dataset, seed, scope) for each of the input's tables.
"""

import stage


def main(job) -> None:
    from fedmeta.reporting.comparison import aggregation_table
    from fedmeta.reporting.results import write_table

    write_table(aggregation_table(job.input.tables, job.params.names), job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
