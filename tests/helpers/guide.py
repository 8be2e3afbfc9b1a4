"""The whole methods that docs/extending.md shows, as files of one's own."""

import re
from pathlib import Path

from helpers.project import ROOT


def write_example(section: str, path: Path) -> Path:
    """Write the Python file that a section of the guide shows, and return its path."""
    text = (ROOT / "docs/extending.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    path.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    return path
