"""README and the guides name what there is: files and headings behind links, settings, messages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import snakemake
import yaml
from helpers.guide import write_example
from helpers.project import ROOT

from fedmeta.settings import check, lay, with_table

GUIDES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config/README.md", *GUIDES]
DOCUMENTS += sorted((ROOT / "docs/results").rglob("*.md"))
OF_OTHERS = {"snakemake: command not found", "dictionary update sequence element"}  # the shell's, and Python's


def without_code(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return what links to the headings of a document end in, as GitHub writes it."""
    headings = re.findall(r"^#+ (.+)$", without_code(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(path)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        place = path.parent / name if name else path
        assert place.exists(), link
        assert not anchor or anchor in anchors(place), link


def test_the_readme_leads_to_every_guide_and_has_two_screens():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    assert {f"docs/{guide.name}" for guide in GUIDES} <= set(re.findall(r"\]\(([^)#]+)\)", text))


def test_the_settings_that_the_readme_shows_are_right(tmp_path, monkeypatch):
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    write_example("Attack", tmp_path / "my_attack.py")
    write_example("Defence", tmp_path / "my_defence.py")
    check(with_table(lay(default, yaml.safe_load(shown))))


def texts(source: str) -> Iterator[str]:
    """Yield the texts in a Python file, with ... for what is filled in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_messages_that_troubleshooting_explains_are_those_of_the_code():
    guide = (ROOT / "docs/troubleshooting.md").read_text()
    explained = re.findall(r"^\| `([^`]+)` \|", guide, re.MULTILINE)
    assert len(explained) > 30
    folders = (ROOT / "fedmeta", ROOT / "workflow", Path(snakemake.__file__).parent)
    code = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    known = {text for path in code for text in texts(path.read_text())} | {(ROOT / "Makefile").read_text()}
    for message in set(explained) - OF_OTHERS:
        parts = [re.escape(part.strip()) for part in message.removeprefix("config: ").split("...") if part.strip()]
        assert any(re.search(".*".join(parts), text, re.DOTALL) for text in known), message
