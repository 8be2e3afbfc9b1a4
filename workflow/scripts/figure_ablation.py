"""Tables of metrics -> the defence without each of its parts, of one data set, as PNG and SVG."""

from pathlib import Path

import stage


def main(job) -> None:
    from fedmeta.reporting.ablation import draw_ablation
    from fedmeta.reporting.results import read_metrics

    stem, frame = Path(job.output.png).with_suffix(""), read_metrics(job.input.tables)
    way, rate = job.params.way, job.params.learning_rate
    draw_ablation(frame, job.wildcards.dataset, job.params.cases, stem, way=way, learning_rate=rate)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
