"""The settings of a job as objects, with only the sections and keys that it was given."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from fedmeta import plugins
from fedmeta.settings.fields import Section, type_of
from fedmeta.settings.sections import REPTILE, Reptile, Settings

METHODS = ("attack", "aggregation", "learner")  # sections that name a method of the family with the same name


def part(settings: Mapping[str, Any]) -> Settings:
    """Return the settings of a job, `{section: {key: value}}`, as an object: `part(...).reptile.way`.

    `attack`, `federation.aggregation` and `reptile.learner` become the methods' own options. A key that the job was not
    given is not an attribute: otherwise the job could read it without rerunning when it is edited. Only the paper's
    learner is a default.
    """
    return _part(Settings, settings)


def _part(kind: type[Section], values: Mapping[str, Any]) -> Any:
    if kind is Reptile:
        values = {"learner": {"method": REPTILE}, **values}
    return kind.model_construct(**{key: _value(kind, key, value) for key, value in values.items()})


def _value(kind: type[Section], key: str, value: Any) -> Any:
    if key in METHODS and isinstance(value, Mapping) and "method" in value:
        return plugins.options(key, value)
    annotation = kind.model_fields[key].annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _part(annotation, value)
    return _adapter(kind, key).validate_python(value)


@cache
def _adapter(kind: type[Section], key: str) -> TypeAdapter:
    return TypeAdapter(type_of(kind.model_fields[key]))
