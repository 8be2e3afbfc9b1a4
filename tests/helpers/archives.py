"""Zip archives that are not as they should be, for tests."""

import io
import zipfile
from collections.abc import Mapping

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"  # what a member's two headers begin with


def zipped(contents: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of {path: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for path, data in contents.items():
            archive.writestr(path, data)
    return file.getvalue()


def with_field(archive: bytes, local: int, central: int, value: bytes) -> bytes:
    """Return the archive with other bytes in the headers of its first member, at these places in each."""
    changed = bytearray(archive)
    for header, place in ((LOCAL, local), (CENTRAL, central)):
        start = changed.index(header) + place
        changed[start : start + len(value)] = value
    return bytes(changed)


def encrypted(archive: bytes) -> bytes:
    """Return the archive with its first member declared to be encrypted."""
    return with_field(archive, 6, 8, b"\x01\x00")


def of_method(archive: bytes, method: int) -> bytes:
    """Return the archive with its first member declared to be compressed by another method."""
    return with_field(archive, 8, 10, method.to_bytes(2, "little"))


def of_size(archive: bytes, size: int) -> bytes:
    """Return the archive with its first member declared to be of another size, once it is unpacked."""
    return with_field(archive, 22, 24, size.to_bytes(4, "little"))
