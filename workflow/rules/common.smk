# ----------------------------------------------------------------------
# Settings, and the code that a stage depends on
# ----------------------------------------------------------------------
import ast
import copy
import hashlib
import json
import os
import sys
from functools import cache
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

sys.path.insert(0, workflow.basedir)  # the library of this working copy, whichever is installed
from fedmeta.errors import FedmetaError
from fedmeta.reporting.contents import FIGURES, changes
from fedmeta.settings import check


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

try:
    check(config, workflow.configfiles)
except FedmetaError as error:
    raise WorkflowError(str(error))


@cache
def settings(dataset, defence=""):
    """Return the config with the overrides of a data set, and what a variant of the defence changes, laid over it.

    The order of keys in the files is of no account.
    """
    merged = copy.deepcopy(config)
    update_config(merged, config["overrides"].get(dataset, {}))
    update_config(merged, changes(defence, merged))
    return json.loads(json.dumps(merged, sort_keys=True))


def take(*keys):
    """Return a param: the named keys ("section" or "section.key"), by section, as they are for the job.

    One param rather than one for each section: Snakemake looks at every function among the params of every job.
    """
    sections = {}
    for key in keys:
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(name)

    def param(wildcards):
        own = settings(wildcards.dataset, variant_of(wildcards)[0])
        return {
            section: own[section] if names == [""] else {name: own[section][name] for name in names}
            for section, names in sections.items()
        }

    return param


def take_each(*keys):
    """Return a param: the named keys ("section.key") as they are for each data set of the config."""
    taken = {dataset: {} for dataset in config["datasets"]}
    for dataset, sections in taken.items():
        own = settings(dataset)
        for section, name in (key.split(".") for key in keys):
            sections.setdefault(section, {})[name] = own[section][name]
    return taken


@cache
def imports_of(path):
    """Return the version of a Python file, and the scripts and modules of fedmeta that it imports."""
    source = path.read_bytes()
    names, nodes = [], [ast.parse(source)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        else:  # imports are nowhere in expressions, which are most of a module
            nodes += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "fedmeta":
            found |= {Path(*parts).with_suffix(".py")}
            found |= {Path(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
        else:
            found.add(Path("workflow/scripts") / f"{name}.py")
    return hashlib.sha256(source).hexdigest()[:12], sorted(filter(Path.exists, found))


def code_of(script, folder="workflow/scripts"):
    """Return a param: the version of the script, and of every module of fedmeta that it reaches through imports.

    A param rather than input: what counts is the content when the run began, not a time of modification, and not what
    a file has been edited to by the time the stage has finished.
    """
    versions, waiting = {}, [Path(folder) / f"{script}.py"]
    while waiting:
        path = waiting.pop()
        if path.as_posix() not in versions:
            version, imports = imports_of(path)
            versions[path.as_posix()] = f"{path.as_posix()} {version}"
            waiting += imports
    return versions


def check_folders():
    """Raise WorkflowError with one line about a folder that cannot be written, which Snakemake would find out late."""
    for folder in ("data/prepared", "results", "logs"):
        if Path(folder).exists() and not os.access(folder, os.W_OK):
            raise WorkflowError(f"cannot write {folder}: make it writable and run again")


onstart:
    check_folders()


# Stages end when this process does.
os.environ.update(FEDMETA_SNAKEMAKE=str(os.getpid()))


# ----------------------------------------------------------------------
# What there is to make
# ----------------------------------------------------------------------
SCOPES = {"excluded": "a", "included": "bc"}


# Whether prepared data and pre-trained models are shared with other working copies (--cache, see docs/caching.md).
SHARED = workflow.workflow_settings.cache is not None


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    seed=r"\d+",
    client=r"\d+",
    scope="excluded|included",
    figure="|".join(FIGURES),
    model="pretrained|attacked",
    episodes=r"\d+",
