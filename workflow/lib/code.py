"""The version of the Python code that a job depends on. Code counts by its meaning, not by how it is written."""

import ast
import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from fedmeta import plugins
from workflow.lib.notes import read_notes, write_notes

# Modules that cannot change a result: the texts of errors, progress, logs, and how finished work is kept.
UNCOUNTED = {"fedmeta/errors.py", "fedmeta/progress.py", "fedmeta/made.py", "fedmeta/store.py"}
UNCOUNTED |= {"workflow/scripts/stage.py", "fedmeta/plugins.py"}
# The types of the settings: what a job reads of them is among its params.
TYPES = "fedmeta/settings/"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Code:
    """Versions of the project's Python files and, by their paths from the working folder, of the user's."""

    def __init__(self) -> None:
        # Notes by another version of this module may mean something else.
        self.notes_name = f"code-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]}"
        self.notes = read_notes(self.notes_name)
        self.known = len(self.notes)
        self.look, self.versions = cache(self.look), cache(self.versions)

    def versions(self, path: str | Path) -> dict[str, str]:
        """Return "path version" of a Python file, and of every script and module of fedmeta that it reaches.

        The keys are the paths. All imports are followed, including those inside functions.
        """
        versions, waiting = {}, [Path(path)]
        while waiting:
            file = waiting.pop()
            name = file.as_posix()
            if name not in versions and name not in UNCOUNTED and not name.startswith(TYPES):
                version, imported = self.look(file)
                versions[name] = f"{name} {version}"
                waiting += imported
        return versions

    def of_rule(self, script: str) -> dict[str, str]:
        """Return the versions for the script of a rule, given as in workflow/rules/."""
        return self.versions(os.path.normpath(Path("workflow/rules", script)))

    def unchanged(self, versions: Iterable[str]) -> bool:
        """Tell whether the files of "path version" are still as they were then."""
        pairs = (version.rsplit(" ", 1) for version in versions)
        return all(located(path).exists() and self.look(Path(path))[0] == version for path, version in pairs)

    def look(self, path: Path) -> tuple[str, list[Path]]:
        """Return the version of a Python file, and the files that it imports."""
        source = located(path).read_bytes()
        key = hashlib.sha256(source).hexdigest()[:16]
        if key not in self.notes:
            tree = ast.parse(source, path)
            version = hashlib.sha256(meaning(tree).encode()).hexdigest()[:12]
            self.notes[key] = [version, sorted(set(imports(tree)))]
        version, names = self.notes[key]
        return version, sorted({file for name in names for file in files_of(name, path) if located(file).exists()})

    def save(self) -> None:
        """Remember what each source means, for the next call."""
        if len(self.notes) > self.known:
            write_notes(self.notes_name, self.notes)
            self.known = len(self.notes)


def located(path: str | Path) -> Path:
    """Return where a file is: one of the project's in the project, any other from the working folder."""
    own = plugins.ROOT / path
    elsewhere = own.exists() and not (os.path.exists(path) and os.path.samefile(path, own))
    return own if elsewhere else Path(path)


def meaning(node: object) -> str:
    """Return a syntax tree as text without comments, docstrings, positions, texts of errors, and descriptions."""
    if isinstance(node, list):
        return f"[{','.join(map(meaning, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED) and is_text(node.body[0] if node.body else None):
        fields["body"] = node.body[1:]
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        told = [each for each in node.exc.args if not isinstance(each, ast.JoinedStr | ast.Constant)]
        fields["exc"] = ast.Call(node.exc.func, told, node.exc.keywords)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Field":
        fields["keywords"] = [each for each in node.keywords if each.arg != "description"]
    # Fields without a value are left out: they differ between versions of Python.
    said = ",".join(f"{name}={meaning(value)}" for name, value in fields.items() if value is not None and value != [])
    return f"{type(node).__name__}({said})"


def is_text(statement: ast.stmt | None) -> bool:
    """Tell whether a statement is only a text, like a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module imports, as written: `a.b`, or `..a.b` if relative to its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}.{each.name}" if node.module else base + each.name for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def files_of(name: str, importer: Path) -> Iterator[Path]:
    """Yield the project's files that an import of `name` in the file `importer` would load."""
    level = len(name) - len(name.lstrip("."))
    if level:
        package = importer.parent.parts[: len(importer.parent.parts) - level + 1]
        name = ".".join((*package, *filter(None, [name[level:]])))
    parts = name.split(".")
    if parts[0] == "fedmeta":
        yield Path(*parts).with_suffix(".py")
        yield from (Path(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))
    elif level:
        yield Path(*parts).with_suffix(".py")
    else:  # scripts import one another by their names
        yield Path("workflow/scripts", f"{name}.py")
