# ----------------------------------------------------------------------
# What the figures ask for: tables of metrics, each of a variant of the defence
# ----------------------------------------------------------------------
import re

from fedmeta.reporting.contents import (
    NORMS,
    ORDERS,
    SUPERVISED_CHANGES,
    VARIANTS,
    cases_of,
    contents_of,
    with_norms,
    with_order,
)

# Where the table of an experiment is among the results of a run.
TABLES = {
    "meta_training": "evaluate/client-{client}.csv",
    "fine_tuning": "fine_tune/{variant}/client-{client}.csv",
    "matching": "defend/{variant}/client-{client}.csv",
}
# Names of the variants, see `variant_of`.
SUPERVISED = rf"plain|{'|'.join(SUPERVISED_CHANGES)}|glorot_mix(_local_\d+)?-[0-9.]+"
MATCHING = rf"(matching(_local_\d+)?|{'|'.join(VARIANTS)})-[0-9.]+"


def variant_of(wildcards):
    """Return (defence, delta) as the metrics name a job's variant: `matching-0.3`, or `plain`, which has neither."""
    defence, _, delta = wildcards.get("variant", "plain").partition("-")
    return ("" if defence == "plain" else defence, float(delta) if delta else None)


def scopes_of(figure, own):
    """Return the scopes of the models that a figure shows."""
    return [scope for scope, cases in SCOPES.items() if set(cases) & set(cases_of(figure, own))]


def tables_of(dataset, figure):
    """Return the tables of metrics that a figure is drawn from."""
    own, tables = settings(dataset), []
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


def metrics_tables():
    """Return the tables of metrics of all figures that the config asks for, each once."""
    asked_for = [(dataset, str(figure)) for dataset in config["datasets"] for figure in config["figures"]]
    return list(dict.fromkeys(table for figure in asked_for for table in tables_of(*figure)))


def model_of(wildcards, model):
    """Return the file of a model that a client adapts: after local meta-training, where the variant says so."""
    local = re.search(r"_local_(\d+)", wildcards.variant)
    path = (
        f"{RUN}/local-{{episodes}}/client-{{client}}/{{model}}.safetensors" if local else f"{RUN}/{{model}}.safetensors"
    )
    return path.format(model=model, episodes=local and local[1], **dict(wildcards.items()))


def figures():
    """Return the figures of every data set."""
    return expand(
        "results/figures/{dataset}/figure-{figure}.png", dataset=config["datasets"], figure=config["figures"]
    ) + expand("results/figures/{dataset}/attack-seed-{seed}.png", dataset=config["datasets"], seed=config["seeds"][:1])
