"""What there is to make: the figures that the config asks for, and the tables and models that each needs."""

import re
from collections.abc import Mapping

from snakemake.io import expand

from fedmeta.reporting.contents import SUPERVISED_CHANGES, VARIANTS, cases_of, contents_of
from workflow.lib.jobs import Jobs

RUN = "results/{dataset}/seed-{seed}/{scope}"
SCOPES = {"excluded": "a", "included": "bc"}
# Where the table of an experiment is among the results of a run.
TABLES = {
    "meta_training": "evaluate/client-{client}.csv",
    "fine_tuning": "fine_tune/{variant}/client-{client}.csv",
    "matching": "defend/{variant}/client-{client}.csv",
}
# Names of the variants, see `workflow.lib.jobs.variant_of`.
SUPERVISED = rf"plain|{'|'.join(SUPERVISED_CHANGES)}|glorot_mix(_local_\d+)?-[0-9.]+"
MATCHING = rf"(matching(_local_\d+)?|{'|'.join(VARIANTS)})-[0-9.]+"


def scopes_of(figure: str, own: Mapping) -> list[str]:
    """Return the scopes of the models that a figure shows. `own`: the settings of its data set."""
    return [scope for scope, cases in SCOPES.items() if set(cases) & set(cases_of(figure, own))]


def model_of(wildcards: Mapping, model: str) -> str:
    """Return the file of a model that a client adapts: after local meta-training, where the variant says so."""
    local = re.search(r"_local_(\d+)", wildcards["variant"])
    path = f"{RUN}/local-{local[1]}/client-{{client}}/{model}" if local else f"{RUN}/{model}"
    return f"{path}.safetensors".format(**dict(wildcards.items()))


class Targets:
    """The files that a config asks for."""

    def __init__(self, jobs: Jobs):
        self.jobs, self.config = jobs, jobs.config

    def tables_of(self, dataset: str, figure: str) -> list[str]:
        """Return the tables of metrics that a figure is drawn from."""
        own, tables = self.jobs.settings(dataset), []
        for experiment, defence, delta in contents_of(figure, own):
            tables += expand(
                f"{RUN}/{TABLES[experiment]}",
                dataset=dataset,
                seed=own["seeds"],
                scope=scopes_of(figure, own),
                variant=defence or "plain" if delta is None else f"{defence}-{delta:g}",
                client=own["evaluation"]["clients"],
            )
        return tables

    def metrics_tables(self) -> list[str]:
        """Return the tables of metrics of all figures that the config asks for, each once."""
        asked_for = [(dataset, str(figure)) for dataset in self.config["datasets"] for figure in self.config["figures"]]
        return list(dict.fromkeys(table for figure in asked_for for table in self.tables_of(*figure)))

    def figures(self) -> list[str]:
        """Return the figures of every data set."""
        folder, config = "results/figures/{dataset}", self.config
        drawn = expand(f"{folder}/figure-{{figure}}.png", dataset=config["datasets"], figure=config["figures"])
        return drawn + expand(
            f"{folder}/attack-seed-{{seed}}.png", dataset=config["datasets"], seed=config["seeds"][:1]
        )
