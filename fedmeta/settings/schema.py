"""The JSON schema of the config, for editors that complete and check it; the workflow itself checks with the types."""

from typing import Any

from fedmeta import plugins
from fedmeta.settings.sections import OVERRIDABLE, Settings

# An entry of the table of defences may be like another; a grid makes several entries of one.
LIKE = {"like": {"type": "string", "description": "the entry that gives all other options"}}
LIKE |= {"grid": {"type": "object", "description": "lists of values by option: an entry for each combination"}}


def json_schema() -> dict[str, Any]:
    """Return the schema. Sections in `overrides` and scenarios are the same, but require no key."""
    schema = Settings.model_json_schema()
    sections, properties = schema.setdefault("$defs", {}), schema["properties"]
    of_method = {family: _methods(family, sections) for family in plugins.FOLDERS if family != "reader"}
    _fill(properties["attack"], of_method["attack"])
    _fill(sections["Federation"]["properties"]["aggregation"], of_method["aggregation"])
    _fill(sections["Reptile"]["properties"]["learner"], of_method["learner"])
    _of_entries(properties["defences"], of_method["defence"])
    _of_entries(properties["figure_table"], of_method["figure"])
    _drop_titles(schema)
    for name, section in [each for each in sections.items() if "." not in each[0]]:
        sections[f"{name}Override"] = _partial(section)
    override = {key: _partial(properties[key]) for key in OVERRIDABLE}
    sections["Override"] = {"type": "object", "additionalProperties": False, "properties": override}
    some = {**override, "overrides": {"$ref": "#/properties/overrides"}}
    sections["Scenario"] = {"type": ["object", "null"], "additionalProperties": False, "properties": some}
    _of_entries(properties["overrides"], {"$ref": "#/$defs/Override"})
    _of_entries(properties["scenarios"], {"$ref": "#/$defs/Scenario"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fedmeta config", **schema}


def _methods(family: str, sections: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a method's options: those of the package's methods, or of the user's own file."""
    key = plugins.KEYS[family]
    known = []
    for name in plugins.names(family):
        options = plugins.options_type(family, name).model_json_schema()
        sections.update(options.pop("$defs", {}))
        options["properties"][key] = {**options["properties"][key], "const": name}
        options.pop("required", None)
        if family == "defence":
            options["properties"] |= LIKE
        sections[f"{family}.{name}"] = options
        known.append({"$ref": f"#/$defs/{family}.{name}"})
    own = {"type": "object", "properties": {key: {"type": "string", "pattern": r"\.py$"}}, "required": [key]}
    return {"anyOf": [*known, own]}


def _of_entries(table: dict[str, Any], entry: dict[str, Any]) -> None:
    """Set the schema of each entry of a table; the names of entries keep their pattern."""
    patterns = table.get("patternProperties", {})
    for pattern in patterns:
        patterns[pattern] = entry
    if not patterns:
        table["additionalProperties"] = entry


def _fill(field: dict[str, Any], methods: dict[str, Any]) -> None:
    """Replace a section that may be anything by the options of methods."""
    description = field.get("description")
    field.clear()
    field.update(methods, description=description)


def _drop_titles(node: Any) -> None:
    """Remove the titles, which repeat the keys."""
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
