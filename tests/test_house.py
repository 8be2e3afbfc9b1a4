"""The house rules that no linter knows: no import circle, no long files, one name for one thing."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers.project import ROOT

WRITTEN = ("fedmeta", "workflow", "tests", "tools", "benchmarks")
PLACES = (*WRITTEN, "config", "docs", "profiles")
MODULES = [path.relative_to(ROOT) for part in ("fedmeta", "workflow") for path in sorted((ROOT / part).rglob("*.py"))]
# What files of one kind have in common: what plug-ins give, and what scripts start with.
SHARED = {"Options", "Attack", "aggregate", "draw", "learner", "repair", "read", "main"}


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the project that a file imports, wherever in it; of a package, what its `__init__` has."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relative to itself"
            names = [f"{node.module}.{each.name}" for each in node.names]
            yield from (name for name in names if name in known)
            if node.module in known and not all(name in known for name in names):
                yield node.module


def graph(paths: list[Path]) -> dict[str, set[str]]:
    known = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    # Scripts import one another by their bare names.
    known |= {path.stem: path for path in paths if path.parent.name == "scripts"}
    return {name: set(imported(path, known)) for name, path in known.items()}


def test_no_module_is_in_an_import_circle():
    imports = graph(MODULES)
    assert "fedmeta.settings.fields" in imports["fedmeta.settings.sections"], "imports are found"
    assert sum(map(len, imports.values())) > 200
    try:
        list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_a_file_has_at_most_300_lines():
    files = [path for part in WRITTEN for path in (ROOT / part).rglob("*") if path.suffix in (".py", ".smk")]
    assert len(files) > 200
    long = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_the_rules_are_under_500_lines():
    rules = [*(ROOT / "workflow/rules").glob("*.smk")]
    assert rules
    assert sum(len(path.read_text().splitlines()) for path in rules) < 500


def test_no_two_public_functions_have_one_name():
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse((ROOT / path).read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                places[node.name].append(path.as_posix())
    assert {name: files for name, files in places.items() if len(files) > 1 and name not in SHARED} == {}


def test_documents_name_files_that_are_there():
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "config.yaml", *(ROOT / "config").glob("*")]
    named = {
        (document.name, name)
        for document in documents
        for name in re.findall(rf"`((?:{'|'.join(PLACES)})/[\w./-]+\.\w+)`", document.read_text())
    }
    assert len(named) > 30
    assert {(document, name) for document, name in named if not (ROOT / name).exists()} == set()


def test_a_call_of_snakemake_loads_nothing_that_trains_or_draws():
    texts = [path.read_text() for path in (ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk"))]
    imports = [line for text in texts for line in re.findall(r"^(?:from|import) .*", text, re.M)]
    assert "from workflow.lib import guard" in imports
    script = "\n".join([*imports, "import sys", "print(*sys.modules)"])
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"torch", "scipy", "matplotlib", "seaborn"} & set(loaded.split()) == set()
