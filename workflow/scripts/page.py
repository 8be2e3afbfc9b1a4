"""A table, CSV -> the same as a web page that sorts by a click, for the report.

Params: `title`, what the table is called.
"""

import stage


def main(job) -> None:
    from fedmeta.reporting.pages import write_page

    write_page(job.input[0], job.params.title, job.output[0])


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
