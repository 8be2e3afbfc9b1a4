"""Tables of metrics -> one of the paper's figures of one data set, as PNG and SVG."""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.reporting.contents import Content
    from fedmeta.reporting.figures import draw_figure
    from fedmeta.reporting.results import read_metrics

    stem = Path(job.output.png).with_suffix("")
    content, frame = Content(*job.params.content), read_metrics(job.input.tables)
    draw_figure(content, frame, job.wildcards.dataset, stem, way=job.params.way, order=job.params.order)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
