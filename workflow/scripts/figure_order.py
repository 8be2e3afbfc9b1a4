"""Tables of metrics -> the attack with both orders of the victim's classes, of one data set, as PNG and SVG."""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.reporting.over_orders import draw_over_orders
    from fedmeta.reporting.results import read_metrics

    stem, frame = Path(job.output.png).with_suffix(""), read_metrics(job.input.tables)
    params = job.params
    draw_over_orders(frame, job.wildcards.dataset, params.defences, params.trained, stem, way=params.way)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
