"""The settings that the project comes with, beside config.yaml: each file laid over it is a config."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from snakemake.utils import update_config

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "config").glob("*.yaml"))
SCHEMA = Draft202012Validator(json.loads((ROOT / "workflow/schemas/config.schema.json").read_text()))


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *FILES], ids=lambda path: path.name)
def test_a_file_laid_over_the_default_is_as_the_schema_says(path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load(path.read_text()))
    errors = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in SCHEMA.iter_errors(config)]
    assert not errors
    for dataset in config["datasets"]:
        update_config(config, config["overrides"].get(dataset, {}))
        assert SCHEMA.is_valid(config), dataset


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
