"""Names of classes, which tables and figures show."""

import unicodedata
from pathlib import Path

from fedmeta.errors import FedmetaError


def check_class_name(name: str, where: Path) -> None:
    """Raise FedmetaError naming the file or folder `where` for a class name that tables and figures cannot show.

    In a file name, Python replaces what is not UTF-8 by surrogates (Cs); line breaks are control characters (Cc).
    """
    if not name or any(unicodedata.category(character) in ("Cs", "Cc", "Zl", "Zp") for character in name):
        raise FedmetaError(
            f"{where} has a class named {name!r}, which is empty, not UTF-8, or has control characters: rename it"
        )
