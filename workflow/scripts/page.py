"""A table as CSV -> the same as a web page that sorts, for the report.

Params: `title`, the table's title.
"""

import stage


def main(job) -> None:
    from fedmeta.reporting.pages import write_page

    write_page(job.input[0], job.params.title, job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
