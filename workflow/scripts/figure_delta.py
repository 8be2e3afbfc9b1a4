"""Tables of metrics and of kernel norms -> accuracy over delta, of one data set, as PNG and SVG."""

from pathlib import Path

import stage


def main(job) -> None:
    import pandas as pd

    from fedmeta.reporting.over_delta import draw_over_delta
    from fedmeta.reporting.results import read_metrics

    stem, frame, norms = Path(job.output.png).with_suffix(""), read_metrics(job.input.tables), job.input.norms
    defences, cases, way = job.params.defences, job.params.cases, job.params.way
    draw_over_delta(frame, pd.read_csv(norms), job.wildcards.dataset, defences, cases, stem, way=way)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
