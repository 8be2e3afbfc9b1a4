"""Keys that a config file gives twice: YAML readers silently keep the last one."""

import os
from collections.abc import Iterable
from pathlib import Path

import yaml

from fedmeta.errors import FedmetaError

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def refuse_repeated_keys(files: Iterable[str | os.PathLike]) -> None:
    """Raise FedmetaError, with the line, for a key given twice in one section of a YAML (or JSON) file.

    Files that are neither are skipped: whoever reads them reports the error.
    """
    for file in files:
        try:
            root = yaml.compose(Path(file).read_text(encoding="utf-8"), Loader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        for key, line in _repeated(root, set()):
            words = f"config: {_short(file)}, line {line}: key '{key}' is given twice; remove one"
            raise FedmetaError(" ".join(words.split()))


def _repeated(node: yaml.Node | None, seen: set[int]):
    """Yield (key, line) of keys that mappings of a YAML tree repeat; anchors may make it a graph with cycles."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _repeated(each, seen)
    elif isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if (key.tag, key.value) in keys and key.tag != "tag:yaml.org,2002:merge":
                yield key.value, key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode):
                keys.add((key.tag, key.value))
            yield from _repeated(value, seen)


def _short(file: str | os.PathLike) -> str:
    """Return the path: relative to the working directory if the file is below it, otherwise absolute."""
    path = Path(file).absolute()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_posix()
