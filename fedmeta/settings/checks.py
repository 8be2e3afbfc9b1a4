"""Checks of the config as it was read: the first mistake is one line that names the key."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.settings.fields import MethodOptions, Section
from fedmeta.settings.layers import expanded, label, lay, scenarios_of
from fedmeta.settings.repeated_keys import refuse_repeated_keys
from fedmeta.settings.sections import OVERRIDABLE, Evaluation, Settings
from fedmeta.settings.together import contradictions
from fedmeta.settings.words import allowed, did_you_mean, given, hint

M = TypeVar("M", bound=Section)


def check(config: Mapping[str, Any], files: Iterable[str | os.PathLike] = ()) -> None:
    """Raise FedmetaError, with one line, for the first mistake in the config.

    `files`: those that it was read from, to be searched for keys given twice.

    The keys of all overrides are checked; values together, only for the data sets in `datasets`.
    """
    refuse_repeated_keys(files)
    whole = _validated(config)
    stems = [plugins.stem(dataset) for dataset in whole.datasets]
    for dataset in (*whole.datasets, *(each for each in whole.overrides if each not in stems)):
        _require_reader(dataset, "datasets" if dataset in whole.datasets else "overrides")
    if len(set(stems)) < len(stems):
        raise FedmetaError("config: datasets: two of them have the same name: rename one of the files")
    for each in stems:
        label("datasets", each)
    for scenario, overrides in scenarios_of(config).items():
        for dataset in dict.fromkeys((*stems, *whole.overrides)):
            own = _laid_over(config, dataset, scenario, overrides)
            for key, problem in contradictions(own, dataset) if dataset in stems else ():
                below = [f"scenarios.{scenario}"] if whole.scenarios.get(scenario) else []
                below += [f"overrides.{dataset}"] if dataset in whole.overrides else []
                whose = f" (with {' and '.join(below)})" if below else ""
                raise _in_one_line(f"config: {key}: {problem}{whose}")


def for_dataset(config: Mapping[str, Any], dataset: str, scenario: str | None = None) -> Settings:
    """Return the settings of a data set in a scenario (None: the first one).

    The layers, from bottom to top: the config, its overrides for the data set, the scenario.

    Raises FedmetaError, as `check` does, for a config whose keys or types are wrong.
    """
    _validated(config)
    scenarios = scenarios_of(config)
    scenario = next(iter(scenarios)) if scenario is None else scenario
    return _laid_over(config, dataset, scenario, scenarios[scenario])


def _laid_over(config: Mapping[str, Any], dataset: str, scenario: str, overrides: Mapping[str, Any]) -> Settings:
    """Return a config, whose keys and types are right, with its layers for a data set and a scenario on top."""
    place = f"scenarios.{scenario}" if scenario in config["scenarios"] else "grid"
    layers = {f"overrides.{dataset}": config["overrides"].get(dataset, {}), place: overrides}
    laid, prefix = dict(config), ""
    for where, above in layers.items():
        for section in above:
            if section not in OVERRIDABLE:
                raise _in_one_line(_unknown(section, where, OVERRIDABLE))
        laid, prefix = lay(laid, above), f"{where}." if above else prefix
    return _validated(laid, prefix)


def _require_reader(dataset: str, key: str) -> None:
    try:
        plugins.file_of("reader", dataset)
    except FedmetaError as error:
        raise _in_one_line(f"config: {key}: {error}") from None


def _in_one_line(text: str) -> FedmetaError:
    """Return the text as an error on one line; names may contain line breaks."""
    return FedmetaError(" ".join(text.split()))


def _validated(config: Mapping[str, Any], prefix: str = "") -> Settings:
    """Return the config as Settings; `prefix` is the place of the keys that were not checked before."""
    whole = _model(Settings, config, prefix)
    aggregation = _options("aggregation", config["federation"]["aggregation"], f"{prefix}federation.aggregation.")
    learner = _options("learner", config["reptile"]["learner"], f"{prefix}reptile.learner.", needs="MetaTraining")
    defences = expanded(config["defences"])
    return whole.model_copy(
        update={
            "federation": whole.federation.model_copy(update={"aggregation": aggregation}),
            "reptile": whole.reptile.model_copy(update={"learner": learner}),
            "attack": _attack(config["attack"], f"{prefix}attack."),
            "defences": {name: _defence(whole, entry, f"{prefix}defences.{name}.") for name, entry in defences.items()},
            "figure_table": {
                name: _options("figure", entry, f"{prefix}figure_table.{name}.")
                for name, entry in config["figure_table"].items()
            },
        }
    )


def _defence(whole: Settings, entry: Mapping[str, Any], prefix: str) -> Any:
    """Return the options of a defence, including those of its repairs."""
    options = _options("defence", entry, prefix, needs="learner")
    if options.evaluation:
        _model(Evaluation, whole.evaluation.model_dump() | options.evaluation, f"{prefix}evaluation.")
    repairs = options.repairs.items()
    several = tuple(_options("defence", each, f"{prefix}{key}.", needs="repair") for key, each in repairs)
    if len(several) < 2:  # a list of one repair means that repair
        return options.model_copy(update={"repair": several[0] if several else None})
    return options.model_copy(update={"repair": several})


def _attack(entry: Mapping[str, Any], prefix: str, above: MethodOptions | None = None) -> Any:
    """Return the options of an attack, including those of the attack beneath it; `above`: those of the one above it."""
    options = _options("attack", entry, prefix, above=above)
    beneath = getattr(options, "beneath", None)
    if beneath is None:
        return options
    return options.model_copy(update={"beneath": _attack(beneath, f"{prefix}beneath.", options)})


def _options(
    family: str, entry: Mapping[str, Any], prefix: str, needs: str = "", above: MethodOptions | None = None
) -> Any:
    """Return the options of a method; `needs` is what its file must have besides them.

    An option that the entry does not give is taken from the options `above`, if both inherit it from the same class.
    """
    key = plugins.KEYS[family]
    name = entry.get(key)
    if not isinstance(name, str):
        known = ", ".join(plugins.names(family))
        what = f"must be a method, one of {known}, or the path of a Python file" if key in entry else "it is missing"
        raise _in_one_line(f"config: {prefix}{key}: {what}")
    try:
        kind = plugins.options_type(family, name)
        if needs:
            plugins.require(family, name, needs)
    except FedmetaError as error:
        raise _in_one_line(f"config: {prefix}{key}: {error}") from None
    return _model(kind, {**(above.common_with(kind) if above else {}), **entry}, prefix)


def _model(kind: type[M], values: Mapping[str, Any], prefix: str) -> M:
    """Return the values as a model. Raises FedmetaError, which names the first wrong key."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        raise _in_one_line(_first(errors, kind, values, prefix)) from None


def _first(errors: list[ErrorDetails], kind: type[Section], values: Mapping[str, Any], prefix: str) -> str:
    """Return the line about the first error. Misspelt keys come first: they may be why the right key is missing."""
    unknown = [error for error in errors if error["type"] in ("extra_forbidden", "invalid_key")]
    if unknown:
        *sections, key = unknown[0]["loc"]
        section = _walk(kind, values, sections)[1]
        return _unknown(key, (prefix + ".".join(map(str, sections))).strip(".") or "the config", section.model_fields)
    path, section, value = _walk(kind, values, errors[0]["loc"])
    key = f"config: {prefix}{'.'.join(path)}"
    rest = [part for part in errors[0]["loc"][len(path) :] if not str(part).startswith(("dict[", "tuple["))]
    if rest and isinstance(value, Mapping):
        return _about_entry(f"{key}.{rest[0]}", errors[0]["msg"], value.get(rest[0]), rest[-1] == "[key]")
    same = [error for error in errors if _walk(kind, values, error["loc"])[0] == path]
    if errors[0]["type"] == "missing" and len(errors[0]["loc"]) == len(path):
        return f"{key}: it is missing; copy it from config.yaml"
    if errors[0]["type"] == "model_type":
        return f"{key}: must be a section with the keys {', '.join(section.model_fields)}, not {given(value)}"
    own = [error["msg"] for error in same if error["type"] in ("twice", "path")]
    if own:
        return f"{key}: {own[0]}"
    field = section.model_fields[path[-1]]
    extra = field.json_schema_extra
    why = f" ({extra['$comment']})" if isinstance(extra, dict) and "$comment" in extra else ""
    return f"{key}: must be {allowed(field)}, not {given(value)}{why}{hint(value)}"


def _about_entry(key: str, problem: str, value: object, is_name: bool) -> str:
    """Return the line about an entry of a table whose names the user chooses."""
    if is_name and key.startswith("config: overrides."):
        return f"{key}: must be the name of a data set"
    if is_name:
        return f"{key}: a name may contain only letters, digits and _ . , = + -, at most 100 in all"
    if key.startswith("config: grid."):
        return f"{key}: must be a list of values, not {given(value)}"
    return f"{key}: must be a section, not {given(value)}" if not isinstance(value, Mapping) else f"{key}: {problem}"


def _walk(kind: type[Section], values: Any, loc: Iterable[int | str]) -> tuple[list[str], type[Section], Any]:
    """Follow a place along the keys of sections; return the path, the section where it ends, and the value there.

    The rest of an error's place is inside a value: an item of a list, or one of the types that it may have.
    """
    path, section, value = [], kind, values
    for part in loc:
        field = section.model_fields.get(str(part))
        if field is None:
            break
        path.append(str(part))
        value = value.get(part) if isinstance(value, Mapping) else None
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            break
        section = field.annotation
    return path, section, value


def _unknown(key: object, where: str, known: Iterable[str]) -> str:
    name = key if isinstance(key, str) else given(key)
    return f"config: unknown key '{name}' in {where}{did_you_mean(name, known)}"
