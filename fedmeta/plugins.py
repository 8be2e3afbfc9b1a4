"""Methods chosen by name: one Python file each, from the package or the user's own.

A name in the config is that of a module in the family's folder, or the path of a Python file. What a file declares (its
class `Options` and its literal constants) is read from the source: checking a config imports nothing heavy.
"""

import ast
import difflib
import functools
import importlib
import importlib.util
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fedmeta.errors import FedmetaError

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "reader": "fedmeta/data/readers",
    "attack": "fedmeta/attacks",
    "aggregation": "fedmeta/federation/aggregation",
    "learner": "fedmeta/learning/meta",
    "defence": "fedmeta/defences",
    "figure": "fedmeta/reporting/figures",
}
# What distinguishes a method from the helpers beside it. A user's own file must have it, too.
MARKS = dict.fromkeys(FOLDERS, "Options") | {"reader": "read"}
# The key that names the method in an entry of the config.
KEYS = dict.fromkeys(FOLDERS, "method") | {"figure": "kind"}
# What `Options` may use, besides the options of other methods.
LIGHT = ("typing", "pydantic", "annotated_types", "collections", "collections.abc", "enum", "fedmeta.settings.fields")
MADE_OF = "use only typing, pydantic, fedmeta.settings.fields and the Options of other methods"


def names(family: str) -> list[str]:
    """Return the names of the package's methods in a family."""
    files = sorted((ROOT / FOLDERS[family]).glob("*.py"))
    return [file.stem for file in files if MARKS[family] in declared(file)]


def is_own(name: str) -> bool:
    """Return whether a method is the user's own file."""
    return name.endswith(".py")


def stem(name: str) -> str:
    """Return a method's name in paths and tables: its module's name, also for a user's own file."""
    return Path(name).stem if is_own(name) else name


def file_of(family: str, name: str) -> Path:
    """Return the file of a method; for one of the package's, relative to the project.

    Raises FedmetaError for an unknown name, and for a file that is missing or is not a method.
    """
    path = Path(name) if is_own(name) else Path(FOLDERS[family], f"{name}.py")
    found = path if is_own(name) else ROOT / path
    if not found.is_file():
        raise FedmetaError(f"there is no file {name}: check the path" if is_own(name) else unknown(family, name))
    if MARKS[family] not in declared(found):
        problem = f"the {family} file {name} has no {MARKS[family]}: see docs/extending.md"
        raise FedmetaError(problem if is_own(name) else unknown(family, name))
    return path


def source_of(family: str, name: str) -> Path:
    """Return the file of a method, wherever the working folder is. Raises FedmetaError as `file_of` does."""
    path = file_of(family, name)
    return path if is_own(name) else ROOT / path


def unknown(family: str, name: str) -> str:
    """Return the message about an unknown name."""
    nearest = difflib.get_close_matches(name, names(family), 1, 0)[0]
    return f"there is no {family} called '{name}'; did you mean '{nearest}'? The path of your own file ends in .py"


def load(family: str, name: str) -> ModuleType:
    """Import a method. Raises FedmetaError for an unknown one, and for a file that cannot be imported."""
    path = file_of(family, name)
    if not is_own(name):
        return importlib.import_module(".".join(path.with_suffix("").parts))
    called = f"fedmeta_own_{family}_{path.stem}_{zlib.crc32(path.as_posix().encode()):08x}"  # stems may be equal
    specification = importlib.util.spec_from_file_location(called, path)
    assert specification and specification.loader, "it is a file that ends in .py"
    module = importlib.util.module_from_spec(specification)
    sys.modules[called] = module  # dataclasses and forked processes look for it there
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[called]
        raise FedmetaError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def require(family: str, name: str, called: str) -> None:
    """Raise FedmetaError unless a method's file declares `called`."""
    if called not in declared(source_of(family, name)):
        raise FedmetaError(f"{name} has no {called}, which is needed here: see docs/extending.md")


def options(family: str, entry: Mapping[str, Any]) -> Any:
    """Return the options of an entry of the config, {method: NAME, option: value, ...}, as the method's own type.

    An entry of the table of figures has `kind` instead of `method`.

    Raises pydantic's ValidationError for what the type does not allow.
    """
    return options_type(family, entry[KEYS[family]]).model_validate(dict(entry))


def options_type(family: str, name: str) -> type:
    """Return the class `Options` of a method."""
    return _options_type(source_of(family, name), "Options")


def constant(family: str, name: str, called: str, default: Any) -> Any:
    """Return the value of a literal constant in a method's file, or `default` if it has none."""
    node = declared(source_of(family, name)).get(called)
    if node is None:
        return default
    try:
        return ast.literal_eval(_value(node))
    except (TypeError, ValueError):
        raise FedmetaError(f"{name}: {called} must be written as a plain value, such as a number or a string") from None


def _value(node: ast.stmt) -> ast.expr:
    """Return the value that a statement assigns to a name. Raises ValueError if it assigns none."""
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
        return node.value
    raise ValueError("no value")


def declared(file: Path) -> dict[str, ast.stmt]:
    """Return the top-level statements of a Python file that define a name, by that name."""
    found: dict[str, ast.stmt] = {}
    for node in _statements(file, file.stat().st_mtime_ns):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


@functools.cache
def _statements(file: Path, _stamp: int) -> list[ast.stmt]:
    try:
        return ast.parse(file.read_bytes(), file).body
    except (OSError, SyntaxError, ValueError) as error:
        raise FedmetaError(f"{file} cannot be read as a Python file: {error}") from error


def _options_type(file: Path, called: str) -> Any:
    return _built(file, called, file.stat().st_mtime_ns)


@functools.cache
def _built(file: Path, called: str, stamp: int) -> Any:
    """Run the statement of a file that declares `called`, with the light imports and declarations it needs."""
    namespace: dict[str, Any] = {"__name__": f"{file.stem}.options"}
    node, others = declared(file).get(called), declared(file)
    if node is None:
        raise FedmetaError(f"{file.name} declares no {called}")
    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    for statement in _statements(file, stamp):
        if isinstance(statement, ast.ImportFrom) and not statement.level:
            for alias in statement.names:
                if (alias.asname or alias.name) in used:
                    namespace[alias.asname or alias.name] = _imported(file, statement.module or "", alias.name)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name.split(".")[0] in LIGHT and (alias.asname or alias.name) in used:
                    namespace[alias.asname or alias.name] = importlib.import_module(alias.name)
    namespace |= {name: _options_type(file, name) for name in used & others.keys() - namespace.keys() - {called}}
    try:
        exec(compile(ast.Module([node], []), file, "exec"), namespace)
    except Exception as error:
        raise FedmetaError(f"{file.name}: {called} cannot be read: {error}; {MADE_OF}") from error
    return namespace[called]


def _imported(file: Path, module: str, name: str) -> Any:
    if module in LIGHT:
        return getattr(importlib.import_module(module), name)
    source = ROOT / Path(*module.split(".")).with_suffix(".py")
    if module.startswith("fedmeta.") and source.is_file():
        return _options_type(source, name)
    raise FedmetaError(f"{file.name}: Options uses {name} from {module}: {MADE_OF}")
