"""The settings of jobs: the config as it is in a scenario for a data set, and what each stage reads of it."""

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from fedmeta import plugins
from fedmeta.settings import for_dataset, lay, scenarios_of
from fedmeta.settings.fields import MethodOptions
from workflow.lib.stages import ADAPTED, STAGES, TRAINING

# Keys of lists whose order means nothing.
UNORDERED = ("rounds", "cases", "iterations")
EXACT = 2**53  # whole numbers below it are exact as floats


class Place(NamedTuple):
    """Where a stage keeps what it makes: the wildcards of its path that say what it depends on, "" for one it lacks."""

    scenario: str
    dataset: str
    defence: str = ""
    model: str = ""

    @classmethod
    def of(cls, wildcards: Mapping) -> "Place":
        """Return the place of a job."""
        return cls(*(wildcards.get(field, "") for field in cls._fields))


def typed(value: Any) -> Any:
    """Return a list or mapping with its texts read as YAML, which Snakemake does not do in `--config`."""
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


def plain(value: Any, name: str = "") -> Any:
    """Return a setting in its canonical form: 3 for 3.0, mappings and unordered lists sorted."""
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


def chosen(settings: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the named keys ("section" or "section.key") of settings, by section."""
    taken: dict[str, Any] = {}
    for key in keys:
        section, _, name = key.partition(".")
        if name:
            taken.setdefault(section, {})[name] = settings[section][name]
        else:
            taken[section] = settings[section]
    return taken


class Jobs:
    """What jobs read of the whole config."""

    def __init__(self, config: dict):
        self.config = config
        self.scenarios = list(scenarios_of(config))
        self.readers = {plugins.stem(name): name for name in config["datasets"]}
        self._settings: dict[tuple[str, str], dict] = {}
        self._own: dict[tuple[str, str], Any] = {}

    def variants(self) -> set[str]:
        """Return the entries of `defences` that concern other victims or other episodes: no defences of their own."""
        places = itertools.product(self.scenarios, self.readers)
        entries = itertools.chain.from_iterable(self.own(*place).defences.items() for place in places)
        return {name for name, entry in entries if {"target_output", "episode_seed"} & entry.evaluation.keys()}

    def own(self, scenario: str, dataset: str) -> Any:
        """Return the settings of a data set in a scenario, as `fedmeta.settings.Settings`."""
        if (scenario, dataset) not in self._own:
            self._own[scenario, dataset] = for_dataset(self.config, dataset, scenario)
        return self._own[scenario, dataset]

    def settings(self, scenario: str, dataset: str) -> dict[str, Any]:
        """Return the same as a mapping with every option of every method.

        It does not depend on how the config is written: the order of keys, 3.0 for 3, a default left out.
        """
        if (scenario, dataset) not in self._settings:
            dumped = self.own(scenario, dataset).model_dump(warnings=False)
            self._settings[scenario, dataset] = plain(json.loads(json.dumps(dumped)))
        return self._settings[scenario, dataset]

    def params(self, stage: str, place: Place) -> dict[str, Any]:
        """Return what a stage reads of the config: its settings and, for a stage with a defence, the entry."""
        settings = self.settings(place.scenario, place.dataset)
        if not place.defence:
            return {"settings": chosen(settings, STAGES[stage].settings)}
        entry = settings["defences"][place.defence]
        if stage == "repair":
            return {"settings": chosen(settings, STAGES[stage].settings), "repair": entry["repair"]}
        taken = chosen(lay(settings, {"evaluation": entry["evaluation"]}), STAGES[stage].settings)
        return {"settings": taken, "defence": {k: v for k, v in entry.items() if k not in ("repair", "evaluation")}}

    def repaired(self, place: Place) -> bool:
        """Tell whether a defence has the client repair the model before adapting it."""
        return bool(self.settings(place.scenario, place.dataset)["defences"][place.defence]["repair"])

    def methods(self, stage: str, place: Place) -> list[tuple[str, MethodOptions]]:
        """Return (family, options) of the methods that a stage uses; readers have no options."""
        own = self.own(place.scenario, place.dataset)
        if stage in ADAPTED:
            return [("defence", own.defences[place.defence])]
        learner = ("learner", own.reptile.learner)
        if stage == "repair":
            repairs = own.defences[place.defence].repairs.values()
            trains = any(plugins.constant("defence", each.method, "META_TRAINS", False) for each in repairs)
            return [("defence", each) for each in repairs] + [learner] * trains
        methods = [("aggregation", own.federation.aggregation)] if stage in TRAINING else []
        attacks = own.attack.with_inner("attack") if "attack" in STAGES[stage].settings else ()
        return methods + [("attack", options) for _, options in attacks] + [learner] * (stage in TRAINING)

    def method_files(self, stage: str, place: Place) -> list[str]:
        """Return the Python files of the methods that a stage uses."""
        if stage == "resize":
            return [plugins.file_of("reader", self.readers[place.dataset]).as_posix()]
        return [plugins.file_of(family, each.method).as_posix() for family, each in self.methods(stage, place)]

    def option_files(self, stage: str, place: Place) -> list[str]:
        """Return the files that options of these methods name."""
        return [
            getattr(options, name)
            for _, options in self.methods(stage, place)
            for name, field in type(options).model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("file")
        ]
