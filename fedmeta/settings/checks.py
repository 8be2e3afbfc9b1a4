"""The config as it was read, checked: the first thing wrong is one line that names the key."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fedmeta.errors import FedmetaError
from fedmeta.settings.fields import Dataset, Section
from fedmeta.settings.repeated_keys import refuse_repeated_keys
from fedmeta.settings.sections import OVERRIDABLE, Settings
from fedmeta.settings.together import contradictions
from fedmeta.settings.words import allowed, given, hint, nearest


def check(config: Mapping[str, Any], files: Iterable[str | os.PathLike] = ()) -> None:
    """Raise FedmetaError with one line about the first thing wrong in the config.

    `files`: those that it was read from, to be looked through for keys that are given twice.

    The keys of all overrides are checked; values together only for the data sets that the config asks for.
    """
    refuse_repeated_keys(files)
    whole = _validated(config)
    for dataset in (*whole.datasets, *whole.overrides):
        own = for_dataset(config, dataset)
        for key, problem in contradictions(own, dataset) if dataset in whole.datasets else ():
            whose = f" (with overrides.{dataset})" if dataset in whole.overrides else ""
            raise _in_one_line(f"config: {key}: {problem}{whose}")


def for_dataset(config: Mapping[str, Any], dataset: str) -> Settings:
    """Return the settings of a data set: its overrides laid over the config, as Snakemake lays files over one another.

    Raises FedmetaError, as `check` does, for a config whose keys or types are wrong.
    """
    overrides = _validated(config).overrides.get(dataset, {})
    for section in overrides:
        if section not in OVERRIDABLE:
            raise _in_one_line(_unknown(section, f"overrides.{dataset}", OVERRIDABLE))
    return _validated(_merged(config, overrides), f"overrides.{dataset}.") if overrides else _validated(config)


def _in_one_line(text: str) -> FedmetaError:
    """Return the error; names may have line breaks in them."""
    return FedmetaError(" ".join(text.split()))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
        merged[key] = _merged(below[key], value) if both else value
    return merged


def _validated(config: Mapping[str, Any], prefix: str = "") -> Settings:
    """Return the config as Settings; `prefix` is where the keys stand that were not checked before."""
    try:
        return Settings.model_validate(dict(config))
    except ValidationError as error:
        raise _in_one_line(_first(error.errors(include_url=False, include_context=False), config, prefix)) from None


def _first(errors: list[ErrorDetails], config: Mapping[str, Any], prefix: str) -> str:
    """Return the line about the first error. Misspelt keys come first: the right one may be missing for them."""
    unknown = [error for error in errors if error["type"] in ("extra_forbidden", "invalid_key")]
    if unknown:
        *sections, key = unknown[0]["loc"]
        section = _walk(config, sections)[1]
        return _unknown(key, prefix + ".".join(map(str, sections)) or "the config", section.model_fields)
    path, section, value = _walk(config, errors[0]["loc"])
    key = f"config: {prefix}{'.'.join(path)}"
    if path == ["overrides"] and isinstance(value, Mapping):
        return _about_data_set(errors[0]["loc"][1], value)
    same = [error for error in errors if _walk(config, error["loc"])[0] == path]
    if errors[0]["type"] == "missing" and len(errors[0]["loc"]) == len(path):
        return f"{key}: it is missing; config.yaml has it"
    if errors[0]["type"] == "model_type":
        return f"{key}: must be a section with the keys {', '.join(section.model_fields)}, not {given(value)}"
    own = [error["msg"] for error in same if error["type"] in ("twice", "path")]
    if own:
        return f"{key}: {own[0]}"
    field = section.model_fields[path[-1]]
    extra = field.json_schema_extra
    why = f" ({extra['$comment']})" if isinstance(extra, dict) and "$comment" in extra else ""
    return f"{key}: must be {allowed(field)}, not {given(value)}{why}{hint(value)}"


def _about_data_set(name: int | str, overrides: Mapping[str, Any]) -> str:
    """Return the line about what stands below `overrides` without being a section of a data set."""
    if name in get_args(Dataset):
        return f"config: overrides.{name}: must be a section, not {given(overrides[name])}"
    return _unknown(name, "overrides", get_args(Dataset))


def _walk(config: Any, loc: Iterable[int | str]) -> tuple[list[str], type[Section], Any]:
    """Return how far a place leads along keys of sections, the section in which it ends, and the value there.

    The rest of an error's place is inside a value: an item of a list, or one of the types that it may be.
    """
    path, section, value = [], Settings, config
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
    return f"config: unknown key '{name}' in {where}; did you mean '{nearest(name, known)}'?"
