# ----------------------------------------------------------------------
# Settings, and the code that a stage depends on
# ----------------------------------------------------------------------
import ast
import copy
import difflib
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
    schema = Draft202012Validator(json.loads(Path("workflow/schemas/config.schema.json").read_text()))
    for error in sorted(schema.iter_errors(config), key=lambda error: list(map(str, error.path))):
        where = ".".join(map(str, error.absolute_path))
        if error.validator != "additionalProperties":
            raise WorkflowError(f"config: {where}: {error.message}")
        known = error.schema["properties"]
        unknown = min(set(error.instance) - set(known))
        close = difflib.get_close_matches(unknown, known, 1, 0)[0]
        raise WorkflowError(f"config: unknown key '{unknown}' in {where or 'the config'}; did you mean '{close}'?")
    for dataset in config["datasets"]:
        for key, problem in contradictions(settings(dataset)):
            raise WorkflowError(f"config: {key}: {problem}")


def contradictions(own):
    """Yield (key, problem) for values that are legal each but not together."""
    users, selected, attacker = (own["federation"][key] for key in ("users", "selected", "attacker"))
    evaluation = own["evaluation"]
    if attacker > users:
        yield "federation.attacker", f"there are only {users} users"
    if selected > users - 1:
        yield "federation.selected", f"{selected} users a round, but only {users - 1} are benign"
    for client in evaluation["clients"]:
        if client == attacker:
            yield "evaluation.clients", f"user {client} is the attacker"
        elif client > users:
            yield "evaluation.clients", f"there is no user {client}"
    if max(evaluation["rounds"]) > own["meta_train_after"]["rounds"]:
        yield "evaluation.rounds", f"meta_train_after.rounds is only {own['meta_train_after']['rounds']}"
    if evaluation["shot"] < 2:
        yield "evaluation.shot", "the matching network's leave-one-out training needs 2 or more"


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
