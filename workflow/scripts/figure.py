"""Tables of metrics -> one figure of one data set, as PNG and SVG.

Params: `figure`, the entry of the table of figures; `names`, (scenario, defence) for each of the input's tables; and
`setups`, {settings, defences} by scenario. Inputs `norms`: kernel norms, for kinds that ask for models; `keyed` and
`episodes`: predictions for single images, for kinds that ask for details, with the param `details`, the name of each.
"""

from pathlib import Path

import stage


def main(job) -> None:
    import pandas as pd

    from fedmeta import plugins
    from fedmeta.reporting.details import read_detail
    from fedmeta.reporting.results import gather
    from fedmeta.reporting.setup import About, Setup

    options, norms = plugins.options("figure", job.params.figure), job.input.get("norms")
    setups = {scenario: Setup.of(given) for scenario, given in job.params.setups.items()}
    files = zip(job.params.get("details", []), job.input.get("keyed", []), job.input.get("episodes", []), strict=True)
    details = [read_detail(*each) for each in files]
    about = About(job.wildcards.dataset, setups, pd.read_csv(norms[0]) if norms else None, details)
    metrics = gather(job.input.tables, job.params.names)
    plugins.load("figure", options.kind).draw(metrics, options, about, Path(job.output.png).with_suffix(""))


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
