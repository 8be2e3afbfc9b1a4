# ----------------------------------------------------------------------
# Settings, and the code that a stage depends on
# ----------------------------------------------------------------------
import ast
import copy
import json
from pathlib import Path

from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config


def settings(dataset):
    """Return the config with the data set's overrides laid over it."""
    merged = copy.deepcopy(config)
    update_config(merged, config["overrides"].get(dataset, {}))
    return merged


def take(*keys):
    """Return a params function: the named keys ("section" or "section.key") of the job's data set."""

    def chosen(wildcards):
        own, result = settings(wildcards.dataset), {}
        for key in keys:
            section, _, name = key.partition(".")
            value = own[section]
            if name:
                result.setdefault(section, {})[name] = value[name]
            else:
                result[section] = value
        return result

    return chosen


def code_of(script):
    """Return the script and every module of fedmeta that it reaches through imports."""
    found, waiting = set(), [Path("workflow/scripts") / f"{script}.py"]
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            for name in names:
                if name.split(".")[0] == "fedmeta":
                    waiting.append(Path(*name.split(".")).with_suffix(".py"))
                else:
                    waiting.append(Path("workflow/scripts") / f"{name}.py")
    return sorted(map(str, found))


def check_config():
    """Raise WorkflowError with one line about the first thing wrong in the config."""
    import difflib

    schema = json.loads(Path("workflow/schemas/config.schema.json").read_text())
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    for error in errors[:1]:
        where = ".".join(map(str, error.absolute_path)) or "config"
        if error.validator == "additionalProperties":
            known = error.schema["properties"]
            unknown = sorted(set(error.instance) - set(known))[0]
            close = difflib.get_close_matches(unknown, known, 1, 0)[0]
            raise WorkflowError(f"config: unknown key '{unknown}' in {where}; did you mean '{close}'?")
        raise WorkflowError(f"config: {where}: {error.message}")


# ----------------------------------------------------------------------
# What there is to make
# ----------------------------------------------------------------------
SCOPES = {"excluded": "a", "included": "bc"}


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    seed=r"\d+",
    client=r"\d+",
    scope="excluded|included",
    figure=r"A?\d+",


def raw_files(dataset):
    """Return the files that the data set's images come from, as far as they are there."""
    raw = Path(config["raw_data"]) / dataset
    return sorted(map(str, raw.glob("*"))) if dataset != "glyphs" else []


def metrics_tables():
    """Return the table of every evaluation job that the config asks for."""
    tables = []
    for dataset in config["datasets"]:
        own = settings(dataset)
        scopes = [scope for scope, cases in SCOPES.items() if set(cases) & set(own["evaluation"]["cases"])]
        jobs = ["evaluate", "fine_tune", *(f"defend/delta-{delta}" for delta in own["matching"]["delta"])]
        tables += expand(
            "results/{dataset}/seed-{seed}/{scope}/{job}/client-{client}.csv",
            dataset=dataset,
            seed=config["seeds"],
            scope=scopes,
            job=jobs,
            client=own["evaluation"]["clients"],
        )
    return tables


def figures():
    """Return the figures of every data set."""
    return expand(
        "results/figures/{dataset}/figure-{figure}.png", dataset=config["datasets"], figure=[3, 5, 7]
    ) + expand("results/figures/{dataset}/attack-seed-{seed}.png", dataset=config["datasets"], seed=config["seeds"][:1])
