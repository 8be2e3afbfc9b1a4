"""Code counts by its meaning, and with all that it reaches."""

import pytest

from fedmeta import plugins
from workflow.lib.code import Code

SOURCE = '''"""What it is for."""

import math


def area(radius):
    """Return the area."""
    if radius < 0:
        raise ValueError(f"{radius} is negative")
    return math.pi * radius**2  # of a disc
'''
SETTING = """
from pydantic import Field


class Options:
    radius: float = Field(1.5, gt=0, description="of the disc")
"""
SAME = {
    "a comment": SOURCE.replace("# of a disc", "# of a circle"),
    "a docstring": SOURCE.replace("Return the area.", "Return how large it is."),
    "without docstrings": SOURCE.replace('    """Return the area."""\n', "").replace('"""What it is for."""\n', ""),
    "empty lines": SOURCE.replace("\n\n", "\n"),
    "another layout": SOURCE.replace("math.pi * radius**2", "(\n        math.pi\n        * radius ** 2\n    )"),
    "the text of an error": SOURCE.replace("is negative", "must not be negative"),
}
OTHER = {
    "a value": SOURCE.replace("**2", "**3"),
    "a condition": SOURCE.replace("< 0", "<= 0"),
    "the kind of an error": SOURCE.replace("ValueError", "TypeError"),
    "a text": SOURCE.replace("return math", 'name = "area"\n    return math'),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    for place in ("fedmeta", "fedmeta/data", "workflow/scripts", "workflow/rules"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "__init__.py").touch()
    return tmp_path


def version(source: str) -> str:
    with open("fedmeta/module.py", "w") as file:
        file.write(source)
    return Code().versions("fedmeta/module.py")["fedmeta/module.py"]


@pytest.mark.parametrize("what", SAME)
def test_what_does_not_change_the_meaning_does_not_count(what):
    assert SAME[what] != SOURCE
    assert version(SAME[what]) == version(SOURCE)


@pytest.mark.parametrize("what", OTHER)
def test_what_changes_the_meaning_counts(what):
    assert OTHER[what] != SOURCE
    assert version(OTHER[what]) != version(SOURCE)


def test_what_is_said_of_a_setting_does_not_count_but_its_default_and_bounds_do():
    assert version(SETTING.replace("of the disc", "of the circle")) == version(SETTING)
    assert version(SETTING.replace(', description="of the disc"', "")) == version(SETTING)
    assert version(SETTING.replace("1.5", "2.5")) != version(SETTING)
    assert version(SETTING.replace("gt=0", "ge=0")) != version(SETTING)
    other = "label(description='a')\n"
    assert version(other) != version(other.replace("'a'", "'b'")), "only of settings"


@pytest.mark.parametrize(
    "statement",
    [
        *("import fedmeta.data.b", "from fedmeta.data import b", "from fedmeta.data.b import x", "from .b import x"),
        *("from . import b", "from ..data import b", "from ..data.b import x", "def f():\n    from .b import x"),
        "try:\n    import fedmeta.data.b\nexcept ImportError:\n    pass",
    ],
)
def test_imports_are_followed_however_they_are_written(folder, statement):
    (folder / "fedmeta/data/a.py").write_text(statement + "\n")
    (folder / "fedmeta/data/b.py").write_text("from .c import y\nx = 1\n")
    (folder / "fedmeta/data/c.py").write_text("y = 1\n")
    before = Code().versions("fedmeta/data/a.py")
    assert {"fedmeta/data/b.py", "fedmeta/data/c.py", "fedmeta/data/__init__.py"} <= set(before)
    (folder / "fedmeta/data/c.py").write_text("y = 2\n")
    after = Code().versions("fedmeta/data/a.py")
    assert {path for path in before if before[path] != after[path]} == {"fedmeta/data/c.py"}


def test_a_script_reaches_other_scripts_and_not_what_cannot_change_a_result(folder):
    (folder / "workflow/scripts/train.py").write_text("import stage\nimport shared\nimport numpy\n")
    (folder / "workflow/scripts/shared.py").write_text("from fedmeta.progress import Progress\n")
    (folder / "workflow/scripts/stage.py").write_text("")
    (folder / "fedmeta/progress.py").write_text("")
    reached = set(Code().of_rule("../scripts/train.py"))
    assert reached == {"workflow/scripts/train.py", "workflow/scripts/shared.py", "fedmeta/__init__.py"}


def test_versions_can_be_held_against_the_files(folder):
    versions = [version(SOURCE)]
    assert Code().unchanged(versions)
    (folder / "fedmeta/module.py").write_text(SAME["a comment"])
    assert Code().unchanged(versions)
    (folder / "fedmeta/module.py").write_text(OTHER["a value"])
    assert not Code().unchanged(versions)
    (folder / "fedmeta/module.py").unlink()
    assert not Code().unchanged(versions)


def test_what_a_source_means_is_looked_up_the_next_time(folder, monkeypatch):
    expected = version(SOURCE)
    code = Code()
    code.versions("fedmeta/module.py")
    code.save()
    monkeypatch.setattr("workflow.lib.code.meaning", lambda tree: pytest.fail("it is known"))
    assert Code().versions("fedmeta/module.py")["fedmeta/module.py"] == expected
    for notes in (folder / ".snakemake/fedmeta").iterdir():
        notes.write_text("[broken")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert Code().versions("fedmeta/module.py")["fedmeta/module.py"] == expected
