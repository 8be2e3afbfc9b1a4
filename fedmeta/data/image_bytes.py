"""The bytes of image files, in folders and in zip archives: what is broken or far too large is refused."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fedmeta.errors import FedmetaError

# Of one image file, once it is unpacked. An archive of a few megabytes can hold members of gigabytes.
MOST_BYTES = 100_000_000

# Python's own unpacking of the others takes as much memory as the packed data ask for, whatever size is declared.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

ENCRYPTED = 0x1 | 0x40  # flags of a member: by a password, by a certificate

# zipfile reports broken archives by any of these when it opens them.
BROKEN_ZIP = (OSError, ValueError, EOFError, RuntimeError, OverflowError, struct.error, zipfile.BadZipFile, zlib.error)


def file_bytes(path: Path) -> bytes:
    """Return what is in an image file. Raises ValueError when that is more than `MOST_BYTES`."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 10**6} MB")
    return path.read_bytes()


def zip_members(archive: Path, wanted: Callable[[str], bool]) -> dict[str, Callable[[], bytes]]:
    """Return the members of a zip archive whose path is `wanted`, each with a function that reads its bytes.

    Raises FedmetaError when the archive is broken or no file at all, or naming a member that is encrypted, packed in
    an unusual way, or larger than `MOST_BYTES` once unpacked. A function returns no more than its archive declares, and
    raises whatever zipfile does when the member is broken.
    """
    if archive.is_dir():
        raise FedmetaError(f"{archive} is a folder, not a zip file: rename it to {archive.stem}")
    try:
        opened = zipfile.ZipFile(archive)
    except BROKEN_ZIP as error:
        raise FedmetaError(f"{archive} is cut short or not a zip file: delete it and fetch it again") from error
    members = {member.filename: member for member in opened.infolist() if wanted(member.filename)}
    for name, member in members.items():
        if member.flag_bits & ENCRYPTED:
            raise FedmetaError(f"{archive}: {name} is encrypted: zip the images again without a password")
        if member.compress_type not in METHODS:
            raise FedmetaError(
                f"{archive}: {name} is compressed by an unsupported method ({member.compress_type}): "
                "zip the images again with the usual one, deflate"
            )
        if member.file_size > MOST_BYTES:
            raise FedmetaError(
                f"{archive}: {name} would unpack to {member.file_size / 10**6:,.0f} MB, and an image may have "
                f"{MOST_BYTES // 10**6} MB: remove it from the archive"
            )
    return {name: partial(_unpack, opened, member) for name, member in members.items()}


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # ZipFile.read would unpack all that there is, however little is declared, before it finds that the sum is wrong.
    with archive.open(member) as file:
        return file.read(member.file_size)
