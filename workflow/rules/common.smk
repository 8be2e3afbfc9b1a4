# ----------------------------------------------------------------------
# Settings, and the code that a stage depends on
# ----------------------------------------------------------------------
import ast
import copy
import difflib
import hashlib
import json
import re
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from fedmeta.reporting.contents import NORMS, cases_of, changes, contents_of, with_norms


def typed(value):
    """Return a list or mapping with the texts in it read as YAML: Snakemake leaves them texts in `--config KEY=VALUE`."""
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


for key, value in workflow.config_settings.config.items():
    if not isinstance(value, str):
        update_config(config, {key: typed(value)})


def settings(dataset, defence=""):
    """Return the config with the overrides of a data set, and what a variant of the defence changes, laid over it.

    The order of keys in the files is of no account.
    """
    merged = copy.deepcopy(config)
    update_config(merged, config["overrides"].get(dataset, {}))
    update_config(merged, changes(defence, merged))
    return json.loads(json.dumps(merged, sort_keys=True))


def variant_of(wildcards):
    """Return (defence, delta) as the metrics name a job's variant: `matching-0.3`, or `plain`, which has neither."""
    defence, _, delta = wildcards.get("variant", "plain").partition("-")
    return (defence, float(delta)) if delta else ("", None)


def take(*keys):
    """Return params, one for each section: the named keys ("section" or "section.key"), as they are for the job."""
    sections = {}
    for key in keys:
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(name)

    def param(section, names):
        def value(wildcards):
            own = settings(wildcards.dataset, variant_of(wildcards)[0])[section]
            return own if names == [""] else {name: own[name] for name in names}

        return value

    return {section: param(section, names) for section, names in sections.items()}


@cache
def imports_of(path):
    """Return the version of a Python file, and the scripts and modules of fedmeta that it imports."""
    source = path.read_bytes()
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names += [each.name for each in node.names]
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "fedmeta":
            found |= {Path(*parts).with_suffix(".py")}
            found |= {Path(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
        else:
            found.add(Path("workflow/scripts") / f"{name}.py")
    return hashlib.sha256(source).hexdigest()[:12], sorted(filter(Path.exists, found))


def code_of(script):
    """Return params: the version of the script, and of every module of fedmeta that it reaches through imports.

    Params rather than input: what counts is the content when the run began, not a time of modification, and not what
    a file has been edited to by the time the stage has finished.
    """
    versions, waiting = {}, [Path("workflow/scripts") / f"{script}.py"]
    while waiting:
        path = waiting.pop()
        if path.as_posix() not in versions:
            version, imports = imports_of(path)
            versions[path.as_posix()] = f"{path.as_posix()} {version}"
            waiting += imports
    return versions


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
    if evaluation["episode_seed"] == evaluation["other_episode_seed"]:
        yield "evaluation.other_episode_seed", "it must differ from evaluation.episode_seed"
    for episodes in own["local_meta_training"]["episodes"]:
        if episodes % own["reptile"]["meta_batch"]:
            yield "local_meta_training.episodes", f"{episodes} is no multiple of reptile.meta_batch"
    if "ablation" in own["figures"] and 0 not in own["matching"]["iterations"]:
        yield "matching.iterations", "figure ablation shows the attention before fine-tuning: add 0"
    for figure in {"ablation", "delta"}.intersection(own["figures"]):
        for case in set(own[f"figure_{figure}"]["cases"]).difference(evaluation["cases"]):
            yield f"figure_{figure}.cases", f"case {case} is not among evaluation.cases"


# ----------------------------------------------------------------------
# What there is to make
# ----------------------------------------------------------------------
SCOPES = {"excluded": "a", "included": "bc"}


# Whether prepared data and pre-trained models are shared with other working copies (--cache, see docs/caching.md).
SHARED = workflow.workflow_settings.cache is not None


def run_time(stage):
    """Return where the run time of a stage goes that may be shared; nowhere if it is, for Snakemake refuses both."""
    return None if SHARED else f"logs/benchmarks/{stage}.tsv"


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    seed=r"\d+",
    client=r"\d+",
    scope="excluded|included",
    figure=r"A?\d+",
    model="pretrained|attacked",
    episodes=r"\d+",
    variant=r"plain|[a-z0-9_]+-[0-9.]+",


# Raw files by data set, with the MD5 of what is published: where one is missing, just that is downloaded.
RAW = {
    "glyphs": {},
    "omniglot": {
        "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
        "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    },
}


def raw_contents(dataset):
    """Return the MD5 of each raw file, or of names and sizes in the folder extracted from it; never a path."""
    contents = {}
    for name, published in RAW[dataset].items():
        path = Path(config["raw_data"]) / dataset / name
        folder = path.with_suffix("")
        if path.exists():
            contents[name] = hashlib.md5(path.read_bytes()).hexdigest()
        elif folder.exists():
            sizes = sorted((str(file.relative_to(folder)), file.stat().st_size) for file in folder.rglob("*.png"))
            contents[name] = hashlib.md5(json.dumps(sizes).encode()).hexdigest()
        else:
            contents[name] = published
    return contents


# Where the table of an experiment is among the results of a run.
TABLES = {
    "meta_training": "evaluate/client-{client}.csv",
    "fine_tuning": "fine_tune/{variant}/client-{client}.csv",
    "matching": "defend/{variant}/client-{client}.csv",
}


def tables_of(dataset, figure):
    """Return the tables of metrics that a figure is drawn from."""
    own = settings(dataset)
    tables = []
    for experiment, defence, delta in contents_of(figure, own):
        tables += expand(
            RUN + "/" + TABLES[experiment],
            dataset=dataset,
            seed=own["seeds"],
            scope=scopes_of(figure, own),
            variant="plain" if delta is None else f"{defence}-{delta:g}",
            client=own["evaluation"]["clients"],
        )
    return tables


def scopes_of(figure, own):
    """Return the scopes of the models that a figure shows."""
    return [scope for scope, cases in SCOPES.items() if set(cases) & set(cases_of(figure, own))]


def metrics_tables():
    """Return the tables of metrics of all figures that the config asks for, each once."""
    pairs = [(dataset, str(figure)) for dataset in config["datasets"] for figure in config["figures"]]
    return list(dict.fromkeys(table for pair in pairs for table in tables_of(*pair)))


def model_of(wildcards, model):
    """Return the file of a model that a client adapts: after local meta-training, where the variant says so."""
    local = re.search(r"_local_(\d+)", wildcards.variant)
    path = RUN + ("/local-{episodes}/client-{client}" if local else "") + "/{model}.safetensors"
    return path.format(model=model, episodes=local and local[1], **dict(wildcards.items()))


def figures():
    """Return the figures of every data set."""
    return expand(
        "results/figures/{dataset}/figure-{figure}.png", dataset=config["datasets"], figure=config["figures"]
    ) + expand("results/figures/{dataset}/attack-seed-{seed}.png", dataset=config["datasets"], seed=config["seeds"][:1])
