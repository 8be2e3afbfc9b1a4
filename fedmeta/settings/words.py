"""The values that a key allows, and the one it was given, in plain words."""

import datetime
import difflib
import math
import reprlib
from collections.abc import Iterable, Mapping

import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from fedmeta.settings.fields import type_of

PLURALS = {"a whole number": "whole numbers", "a number": "numbers", "a name": "names", "a section": "sections"}


def allowed(field: FieldInfo) -> str:
    """Return the values that a field allows, such as "a whole number from 1 to 10000"."""
    return _of(TypeAdapter(type_of(field)).json_schema())


def given(value: object) -> str:
    """Return a value as it would be written in YAML, on one line and shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf"
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of about {int(value.bit_length() * math.log10(2))} digits"
    if isinstance(value, datetime.date):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join([*map(given, value[:12]), *['...'] * (len(value) > 12)])}]"
    if isinstance(value, Mapping):
        return "a section" if value else "{}"
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return " ".join(short.repr(value).split())


def hint(value: object) -> str:
    """Return what to write for a number that YAML reads as text, such as 1e-3; nothing for other values."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return ""
    return f": YAML reads this as text, write {yaml.safe_dump(number).split()[0]}" if math.isfinite(number) else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a question that suggests the known name most like `name`; nothing if no name is known."""
    return "".join(f"; did you mean '{near}'?" for near in difflib.get_close_matches(str(name), known, 1, 0))


def _of(schema: Mapping) -> str:
    """Return the values that a JSON schema allows."""
    if "anyOf" in schema:
        *others, last = map(_of, schema["anyOf"])
        return f"{', '.join(others)}, or {last}"
    if "const" in schema or "enum" in schema:
        return _one_of(schema.get("enum") or [schema["const"]])
    kind = schema["type"]
    if kind == "array":
        return _list(schema)
    if kind in ("integer", "number"):
        return {"integer": "a whole number", "number": "a number"}[kind] + _bounds(schema)
    return {"string": "a name", "null": "null", "boolean": "true or false", "object": "a section"}[kind]


def _one_of(values: list) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last


def _bounds(schema: Mapping) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    words = [
        f"above {above}" if above is not None else "",
        f"below {below}" if below is not None else "",
        f"at most {most}" if most is not None else "",
    ]
    return f" {' and '.join(filter(None, words))}"


def _list(schema: Mapping) -> str:
    """Return "a list of ...": how many items, and of what kind, in the plural if it has one."""
    item = schema["prefixItems"][0] if "prefixItems" in schema else schema["items"]
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = "" if most is None else f"{most} " if most == least else f"{least} to {most} "
    what = _of(item)
    for one, many in PLURALS.items():
        if what.startswith(one):
            return f"a list of {count}{many}{what.removeprefix(one)}"
    return f"a list of {count}{what}"
