"""Methods by name: found, told apart from helpers, their options read without importing them."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from fedmeta import plugins
from fedmeta.errors import FedmetaError

OWN = """
import nosuch_module
from typing import Annotated

from pydantic import Field

from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.settings.fields import Factor

Small = Annotated[int, Field(le=3)]
DEPTH = 2
COUNTED = len("abc")


class Options(OneShotOptions):
    strength: Factor = 2.5
    many: Small = 1
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return str(path)


def test_methods_are_the_files_that_declare_one():
    assert {"given", "one_shot", "norm_bounded"} <= set(plugins.names("attack"))
    assert not {"interface", "learning", "on_top", "own_benign", "poisoned"} & set(plugins.names("attack"))
    assert "glorot_mix" not in plugins.names("defence")
    assert {"fine_tuning", "matching", "local_meta_training"} <= set(plugins.names("defence"))
    assert plugins.names("learner") == ["fedavg", "fomaml", "reptile"]
    assert plugins.names("reader") == ["glyphs", "image_folder", "mini_imagenet", "omniglot"]


def test_options_are_read_without_importing_the_file(own):
    options = plugins.options("attack", {"method": own, "boost": 4, "strength": 1})
    assert (options.boost, options.strength, options.many) == (4, 1, 1)
    assert "nosuch_module" not in sys.modules
    with pytest.raises(ValidationError):
        plugins.options("attack", {"method": own, "many": 4})


def test_constants_are_read_from_the_source(own):
    assert plugins.constant("attack", own, "DEPTH", 1) == 2
    assert plugins.constant("attack", own, "NOSUCH", 1) == 1
    with pytest.raises(FedmetaError, match="COUNTED must be written as a plain value"):
        plugins.constant("attack", own, "COUNTED", 1)


def test_files_of_one_name_are_two_modules(tmp_path):
    paths = [tmp_path / folder / "mine.py" for folder in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"class Options: pass\ndef repair(): return '{path.parent.name}'\n")
    modules = [plugins.load("defence", str(path)) for path in paths]
    assert [sys.modules[module.__name__].repair() for module in modules] == ["one", "two"]


def test_a_file_that_cannot_be_imported_is_one_line(own):
    with pytest.raises(FedmetaError, match=r"own.py cannot be imported: ModuleNotFoundError: .*nosuch_module"):
        plugins.load("attack", own)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("x = 1\n", "own.py has no Options: see docs/extending.md"),
        ("class Options(:\n", "cannot be read as a Python file"),
        ("import numpy\nclass Options(numpy.Thing): pass\n", "Options cannot be read"),
        ("from torch import Tensor\nclass Options:\n    x: Tensor\n", "Options uses Tensor from torch: use only"),
    ],
)
def test_a_file_that_is_no_method_is_one_line(tmp_path, source, line):
    path = tmp_path / "own.py"
    path.write_text(source)
    with pytest.raises(FedmetaError) as error:
        plugins.options_type("attack", str(path))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_told_its_neighbour():
    with pytest.raises(FedmetaError, match="there is no attack called 'one_sho'; did you mean 'one_shot'"):
        plugins.file_of("attack", "one_sho")
    with pytest.raises(FedmetaError, match=r"there is no file nosuch\.py"):
        plugins.file_of("attack", "nosuch.py")
