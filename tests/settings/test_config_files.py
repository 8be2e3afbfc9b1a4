"""The settings that the project comes with: each file is a config, and config.yaml says what the types say."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT
from jsonschema import Draft202012Validator

from fedmeta import plugins
from fedmeta.settings import Settings, check, for_dataset, lay, with_table
from fedmeta.settings.fields import Section
from fedmeta.settings.schema import json_schema

DEFAULT = ROOT / "config.yaml"
FILES = sorted((ROOT / "config").glob("*.yaml"))
SCHEMA = ROOT / "workflow/schemas/config.schema.json"


def laid_over_the_default(path: Path) -> dict:
    return with_table(lay(yaml.safe_load(DEFAULT.read_text()), yaml.safe_load(path.read_text())))


def meanings(section: type[Section], values: dict, prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield each key of the settings, dotted, and its meaning; of the methods that `values` names, the options too."""
    for name, field in section.model_fields.items():
        yield prefix + name, field.description
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from meanings(field.annotation, values[name], f"{prefix}{name}.")
        elif name in ("attack", "aggregation", "learner"):
            kind = plugins.options_type(name, values[name]["method"])
            yield from meanings(kind, values[name], f"{prefix}{name}.")
        elif name == "defences" and not prefix:
            for entry, options in values[name].items():
                yield f"defences.{entry}", None
                kind = plugins.options_type("defence", options["method"])
                yield from meanings(kind, options, f"defences.{entry}.")


def comments(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield each key of a YAML file, dotted, and the comment in its line and in those below that have nothing else."""
    sections: list[str] = []
    text = re.sub(r"\n +#", "", text)
    for spaces, key, comment in re.findall(r"^( *)([a-z]\w*):(?: +[^#\n]+?)?(?: +# (.*))?$", text, re.MULTILINE):
        sections[len(spaces) // 2 :] = [key]
        yield ".".join(sections), comment or None


# Options whose defaults go without saying.
UNWRITTEN = {f"defences.{name}.{option}" for name in ("fine_tuning", "matching") for option in ("repair", "evaluation")}
UNWRITTEN |= {"defences.fine_tuning.delta", "defences.fine_tuning.norms"}
# The comments say something else: which methods there are, which experiment of the paper it is, or less.
OTHER = {"attack.method", "federation.aggregation.method", "reptile.learner.method"}
OTHER |= {"defences.matching.delta", "defences.matching.norms"}
OTHER |= {"defences.fine_tuning", "defences.fine_tuning.method", "defences.matching"}
UNSAID = {"defences.matching.method", "defences.matching.iterations"}  # said of the entry above


def test_every_key_of_the_default_config_is_a_setting_with_that_meaning_and_the_other_way_round():
    """Options of its methods among them."""
    default = yaml.safe_load(DEFAULT.read_text())
    written, meant = dict(comments(DEFAULT.read_text())), dict(meanings(Settings, default))
    assert set(meant) - set(written) == UNWRITTEN
    in_sections = [key for key in meant if not key.startswith("defences.") and key in written]
    assert [key for key in written if not key.startswith("defences.")] == in_sections
    assert {key for key in written if written[key] != meant[key]} == OTHER | UNSAID
    assert {key for key, comment in written.items() if not comment} == UNSAID


def test_options_of_methods_have_in_the_default_config_the_values_that_they_have_without_it():
    default = yaml.safe_load(DEFAULT.read_text())
    sections = [("attack", default["attack"]), ("aggregation", default["federation"]["aggregation"])]
    sections += [("learner", default["reptile"]["learner"])]
    sections += [("defence", entry) for entry in default["defences"].values()]
    for family, section in sections:
        assert plugins.options(family, section) == plugins.options(family, {"method": section["method"]})


def test_the_comment_of_a_key_with_named_values_names_them_all():
    schema = json_schema()
    sections = {"": schema, **{name: schema["$defs"][name] for name in schema["$defs"] if "Override" not in name}}
    named = 0
    for section in sections.values():
        for key, field in section.get("properties", {}).items():
            values = field.get("enum", [])
            named += bool(values)
            assert all(re.search(rf"\b{value}\b", field["description"]) for value in values), key
    assert named >= 8


@pytest.mark.parametrize("path", [DEFAULT, *FILES], ids=lambda path: path.name)
def test_a_file_laid_over_the_default_is_a_config(path):
    config = laid_over_the_default(path)
    check(config, [DEFAULT, path])
    errors = Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(config)
    assert [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors] == []


def test_the_settings_of_a_data_set_have_its_overrides_and_the_rest_of_the_config():
    config = laid_over_the_default(ROOT / "config/paper.yaml")
    own = for_dataset(config, "mini_imagenet")
    assert (own.data.size, own.data.trigger.size, own.data.trigger.shape) == (84, 15, "cross")
    assert (own.attack.boost, own.attack.backdoor_to_target, own.pretrain.rounds) == (3.0, (1, 2), 334)
    assert for_dataset(config, "omniglot").pretrain.rounds == 34
    with pytest.raises(ValueError, match="frozen"):
        own.attack.boost = 4.0


def test_the_schema_for_editors_is_the_one_that_the_types_give():
    assert json.loads(SCHEMA.read_text()) == json_schema(), "run `make schema`"


def test_the_schema_wants_no_key_in_overrides_but_refuses_one_that_is_not_there():
    schema = Draft202012Validator(json_schema())
    config = laid_over_the_default(DEFAULT)
    config["overrides"] = {"omniglot": {"data": {"trigger": {"size": 3}}}}
    assert schema.is_valid(config)
    config["overrides"] = {"omniglot": {"data": {"trigger": {"sise": 3}}}}
    assert not schema.is_valid(config)
    del config["overrides"], config["data"]["size"]
    assert {error.validator for error in schema.iter_errors(config)} == {"required"}


def test_the_schema_knows_the_options_of_the_methods_and_refuses_a_misspelt_one():
    schema = Draft202012Validator(json_schema())
    for change in (
        {"attack": {"bost": 3}},
        {"federation": {"aggregation": {"metod": "weighted_sum"}}},
        {"reptile": {"learner": {"rate": 0.1}}},
        {"defences": {"matching": {"gate": True}}},
        {"figure_table": {"7": {"defence": ["matching"]}}},
        {"scenarios": {"weak": {"attack": {"bost": 1}}}},
        {"overrides": {"glyphs": {"defences": {"matching": {"gate": True}}}}},
    ):
        assert not schema.is_valid(lay(laid_over_the_default(DEFAULT), change)), change
    own = {"method": "mine.py", "strength": 3}
    assert schema.is_valid({**laid_over_the_default(DEFAULT), "attack": own, "defences": {"mine": own}})
    weak = {"weak": {"attack": {"boost": 1}, "defences": {"matching": {"delta": 0.5}}}, "plain": None}
    assert schema.is_valid({**laid_over_the_default(DEFAULT), "scenarios": weak, "grid": {"attack.boost": [1, 2]}})


def test_the_comments_name_the_data_sets_and_methods_that_there_are():
    text = DEFAULT.read_text()
    written = dict(comments(text))
    for key, family in (
        ("datasets", "reader"),
        ("attack.method", "attack"),
        ("federation.aggregation.method", "aggregation"),
        ("reptile.learner.method", "learner"),
    ):
        assert all(re.search(rf"\b{name}\b", written[key]) for name in plugins.names(family)), key
    learners = [
        name
        for name in plugins.names("defence")
        if "learner" in plugins.declared(Path("fedmeta/defences", f"{name}.py"))
    ]
    assert all(name in written["defences.fine_tuning.method"] for name in learners)
    table = with_table({})["figure_table"]
    assert set(table) == {
        *map(str, range(3, 9)),
        *(f"A{k}" for k in range(1, 12)),
        "order",
        "ablation",
        "delta",
        *("glance", "embedding", "by-class"),
        "scenarios",
    }
    assert all(name in written["figures"] for name in table if name.islower())


def test_a_folder_of_ones_own_is_linked_by_the_commands_as_they_stand(tmp_path):
    """Into a fresh clone, with a path from there."""
    (tmp_path / "my pictures/tulip").mkdir(parents=True)
    (tmp_path / "clone").mkdir()
    text = (ROOT / "config/image_folder.yaml").read_text()
    commands = re.findall(r"^#   (.*)\n", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["mkdir", "ln", "snakemake"]
    linking = "\n".join(commands[:-1]).replace("FOLDER", "'../my pictures'", 1)
    subprocess.run(["sh", "-ec", linking], cwd=tmp_path / "clone", check=True)
    assert (tmp_path / "clone/data/raw/image_folder/tulip").is_dir()
