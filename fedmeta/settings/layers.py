"""Settings laid over one another: files, overrides for a data set, scenarios, and entries that are like others."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.settings.fields import repeated
from fedmeta.settings.words import did_you_mean, given

# The table of the paper's defences and figures, the layer below the config.
TABLE = Path(__file__).parents[1] / "paper/figures.yaml"

DEFAULT = "default"  # the scenario of a config that names none


def with_table(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config laid over the table of the paper's defences and figures.

    The config's own defences come first: errors name them rather than entries like them, and results that they share
    with other entries are kept under their names.
    """
    laid = lay(yaml.safe_load(TABLE.read_text(encoding="utf-8")), config)
    own = config.get("defences")
    if isinstance(own, Mapping):
        laid["defences"] = {name: laid["defences"][name] for name in (*own, *laid["defences"])}
    return laid


def lay(below: Mapping[str, Any], above: Mapping[str, Any], place: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the settings of `below`, overridden by those of `above`, section by section.

    If `above` names another method than `below`, options that this method does not have are dropped.
    """
    for key in set(plugins.KEYS.values()):
        if key in above and key in below and above[key] != below[key]:
            known = options_of(place, above[key])
            below = {name: value for name, value in below.items() if name in known}
    laid = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        laid[key] = lay(below[key], value, (*place, str(key))) if both else value
    return laid


def options_of(place: tuple[str, ...], name: object) -> set[str]:
    """Return the keys that the options of a method can have; none for an unknown name."""
    families = {"attack": "attack", "federation": "aggregation", "reptile": "learner"}
    families |= {"figure_table": "figure", "defences": "defence"}
    if not place or place[0] not in families or not isinstance(name, str):
        return set()
    try:
        return set(plugins.options_type(families[place[0]], name).model_fields)
    except FedmetaError:
        return set()


def scenarios_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each scenario of a config overrides, by name: the named scenarios times the grid.

    Raises FedmetaError for a key of the grid that is not in a section, and for values that cannot be part of a name.
    """
    scenarios = {name: overrides or {} for name, overrides in config["scenarios"].items()} or {DEFAULT: {}}
    for key, values in config["grid"].items():
        first, *rest = key.split(".")
        if not rest:
            raise FedmetaError(f"config: grid.{key}: must be a key in a section, such as attack.boost")
        refuse_twice(f"grid.{key}", values)
        points = {f"{rest[-1]}={label(f'grid.{key}', value)}": nested((first, *rest), value) for value in values}
        alone = not config["scenarios"] and list(scenarios) == [DEFAULT]
        scenarios = {
            point if alone else f"{name},{point}": lay(overrides, laid)
            for (name, overrides), (point, laid) in itertools.product(scenarios.items(), points.items())
        }
    return scenarios


def expanded(defences: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of defences with `like` and `grid` written out.

    An entry with `grid` gives one entry for each combination of values, called `NAME,option=value,...`.
    """
    written: dict[str, Any] = {}
    for name in defences:
        entry = dict(_like(defences, name, ()))
        grid = entry.pop("grid", None)
        if grid is None:
            written[name] = entry
            continue
        if not isinstance(grid, Mapping) or not all(isinstance(values, list) and values for values in grid.values()):
            raise FedmetaError(f"config: defences.{name}.grid: must be lists of values by option: {{delta: [0, 0.3]}}")
        for option, values in grid.items():
            refuse_twice(f"defences.{name}.grid.{option}", values)
        for values in itertools.product(*grid.values()):
            point = dict(zip(grid, values, strict=True))
            words = [f"{option}={label(f'defences.{name}.grid', value)}" for option, value in point.items()]
            written[",".join([name, *words])] = lay(entry, point, ("defences", name))
    return written


def _like(defences: Mapping[str, Any], name: str, seen: tuple[str, ...]) -> Mapping[str, Any]:
    """Return an entry, completed from the one that it is like."""
    entry = defences[name]
    if not isinstance(entry, Mapping) or "like" not in entry:
        return entry if isinstance(entry, Mapping) else {"method": entry}
    other = entry["like"]
    if not isinstance(other, str) or other not in defences:
        near = did_you_mean(other, defences)
        raise FedmetaError(f"config: defences.{name}.like: there is no defence {given(other)}{near}")
    if name in seen:
        raise FedmetaError(f"config: defences.{name}.like: it is like itself: give one of the entries a method")
    own = {key: value for key, value in entry.items() if key != "like"}
    below = {key: value for key, value in _like(defences, other, (*seen, name)).items() if key != "grid"}
    return lay(below, own, ("defences", name))


def nested(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return {a: {b: value}} for the keys (a, b)."""
    for key in reversed(keys):
        value = {key: value}
    return value


def refuse_twice(key: str, values: list) -> None:
    """Raise FedmetaError for a value that is in a list twice: 0 and 0.0 would be two names for one thing."""
    for value in repeated(values):
        raise FedmetaError(f"config: {key}: {given(value)} is given twice; remove one")


def label(key: str, value: Any) -> str:
    """Return a value as part of a name. Raises FedmetaError for one that cannot be part of a file name."""
    if isinstance(value, list):
        text = "+".join(label(key, each) for each in value)
    else:
        text = Path(value).stem if isinstance(value, str) and value.endswith(".py") else given(value).strip("'\"")
    if not re.fullmatch(r"[A-Za-z0-9_.+-]+", text):
        raise FedmetaError(f"config: {key}: {given(value)} cannot be part of a name: use scenarios instead")
    return text
