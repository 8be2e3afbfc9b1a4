"""The JSON schema of the config, for editors that complete and check it; the workflow itself checks with the types."""

from typing import Any, get_args

from fedmeta.settings.fields import Dataset
from fedmeta.settings.sections import OVERRIDABLE, Settings


def json_schema() -> dict[str, Any]:
    """Return the schema. Sections below `overrides` are the same, but need no key."""
    schema = Settings.model_json_schema()
    _drop_titles(schema)
    sections = schema["$defs"]
    for name, section in [*sections.items()]:
        sections[f"{name}Override"] = _partial(section)
    overrides = {key: _partial(schema["properties"][key]) for key in OVERRIDABLE}
    sections["Override"] = {"type": "object", "additionalProperties": False, "properties": overrides}
    schema["properties"]["overrides"] = {
        "type": "object",
        "additionalProperties": False,
        "description": Settings.model_fields["overrides"].description,
        "properties": {dataset: {"$ref": "#/$defs/Override"} for dataset in get_args(Dataset)},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fedmeta config", **schema}


def _drop_titles(node: Any) -> None:
    """Remove the titles, which say what the keys say."""
    if isinstance(node, dict) and isinstance(node.get("title"), str):
        del node["title"]
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _drop_titles(each)


def _partial(section: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section, or a reference to it, in which no key is required."""
    if "$ref" in section:
        return {**section, "$ref": f"{section['$ref']}Override"}
    partial = {key: value for key, value in section.items() if key != "required"}
    if "properties" in partial:
        partial["properties"] = {key: _partial(value) for key, value in partial["properties"].items()}
    return partial
