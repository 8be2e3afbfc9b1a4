"""The settings of a job: the config as it is for one data set, and which of its keys a rule reads."""

import copy
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from snakemake.utils import update_config

from fedmeta.reporting.contents import changes

# Lists whose order means nothing, by section.
UNORDERED = ("rounds", "cases", "iterations")
EXACT = 2**53  # whole numbers below it are whole as floats, too


def typed(value: Any) -> Any:
    """Return a list or mapping with the texts in it read as YAML, which Snakemake leaves undone in `--config`."""
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def variant_of(wildcards: Mapping) -> tuple[str, float | None]:
    """Return (defence, delta) as the metrics name a job's variant: `matching-0.3`, or `plain`, which has neither."""
    defence, _, delta = wildcards.get("variant", "plain").partition("-")
    return ("" if defence == "plain" else defence, float(delta) if delta else None)


def plain(value: Any, name: str = "") -> Any:
    """Return a setting in the one way to write it: 3 for 3.0, mappings and unordered lists sorted."""
    if isinstance(value, dict):
        return {key: plain(value[key], key) for key in sorted(value)}
    if isinstance(value, list):
        values = [plain(each) for each in value]
        return sorted(values) if name in UNORDERED and comparable(values) else values
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return value


def comparable(values: list) -> bool:
    """Tell whether the values can be sorted: all are texts, or all are numbers."""
    return all(isinstance(each, str) for each in values) or all(isinstance(each, int | float) for each in values)


class Jobs:
    """Settings by data set, from the whole config."""

    def __init__(self, config: dict):
        self.config = config
        self.known: dict[tuple[str, str], dict] = {}

    def settings(self, dataset: str, defence: str = "") -> dict:
        """Return the config with a data set's overrides laid over it, and what a variant of the defence changes.

        How it is written is of no account: neither the order of keys nor 3.0 for 3.
        """
        if (dataset, defence) not in self.known:
            merged = copy.deepcopy(self.config)
            update_config(merged, self.config["overrides"].get(dataset, {}))
            update_config(merged, changes(defence, merged))
            self.known[dataset, defence] = plain(json.loads(json.dumps(merged, sort_keys=True)))
        return self.known[dataset, defence]

    def take(self, *keys: str) -> Callable[[Any], dict]:
        """Return a param: the named keys ("section" or "section.key"), by section, as they are for the job.

        One param rather than one for each section: Snakemake looks at every function among the params of every job.
        """
        sections: dict[str, list[str]] = {}
        for key in keys:
            section, _, name = key.partition(".")
            sections.setdefault(section, []).append(name)

        def param(wildcards):
            own = self.settings(wildcards.dataset, variant_of(wildcards)[0])
            return {
                section: own[section] if names == [""] else {name: own[section][name] for name in names}
                for section, names in sections.items()
            }

        return param

    def take_each(self, *keys: str) -> dict:
        """Return a param: the named keys ("section.key") as they are for each data set of the config."""
        taken: dict[str, dict] = {dataset: {} for dataset in self.config["datasets"]}
        for dataset, sections in taken.items():
            own = self.settings(dataset)
            for section, name in (key.split(".") for key in keys):
                sections.setdefault(section, {})[name] = own[section][name]
        return taken
