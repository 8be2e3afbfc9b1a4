"""The settings that the project comes with: each file is a config, and config.yaml says what the types say."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from helpers.project import ROOT
from jsonschema import Draft202012Validator
from snakemake.utils import update_config

from fedmeta.data import datasets
from fedmeta.reporting import contents
from fedmeta.settings import Settings, check, fields, for_dataset
from fedmeta.settings.fields import Section
from fedmeta.settings.schema import json_schema

DEFAULT = ROOT / "config.yaml"
FILES = sorted((ROOT / "config").glob("*.yaml"))
SCHEMA = ROOT / "workflow/schemas/config.schema.json"


def laid_over_the_default(path: Path) -> dict:
    config = yaml.safe_load(DEFAULT.read_text())
    update_config(config, yaml.safe_load(path.read_text()))
    return config


def meanings(section: type[Section], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield each key of the settings, dotted, and its meaning."""
    for name, field in section.model_fields.items():
        yield prefix + name, field.description
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from meanings(field.annotation, f"{prefix}{name}.")


def comments(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield each key of a YAML file, dotted, and the comment in its line."""
    sections: list[str] = []
    for spaces, key, comment in re.findall(r"^( *)([a-z]\w*):(?: +[^#\n]+?)?(?: +# (.*))?$", text, re.MULTILINE):
        sections[len(spaces) // 2 :] = [key]
        yield ".".join(sections), comment or None


def test_every_key_of_the_default_config_is_a_setting_with_that_meaning_and_the_other_way_round():
    """In the same order, too. A key without a comment has none in the types either, which is an error here."""
    written = list(comments(DEFAULT.read_text()))
    assert written == list(meanings(Settings))
    assert not [key for key, meaning in written if not meaning]


def test_the_comment_of_a_key_with_named_values_names_them_all():
    schema = json_schema()
    sections = {"": schema, **{name: schema["$defs"][name] for name in schema["$defs"] if "Override" not in name}}
    named = 0
    for section in sections.values():
        for key, field in section["properties"].items():
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


def test_data_sets_and_figures_are_those_that_there_are():
    assert set(get_args(fields.Dataset)) == set(datasets.NAMES)
    assert set(map(str, get_args(fields.Figure))) == {*contents.FIGURES, "order", "ablation", "delta"}


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
