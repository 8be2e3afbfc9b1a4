"""The bytes of image files, in folders and in zip archives. Files that are broken or far too large are refused."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fedmeta.errors import FedmetaError

# Of one image file, unpacked. An archive of a few megabytes can contain members of gigabytes.
MOST_BYTES = 100_000_000

# With other methods, Python's unpacking takes as much memory as the packed data demand, whatever size is declared.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

ENCRYPTED = 0x1 | 0x40  # flags of a member: by a password, by a certificate

# zipfile may raise any of these when it opens a broken archive.
BROKEN_ZIP = (OSError, ValueError, EOFError, RuntimeError, OverflowError, struct.error, zipfile.BadZipFile, zlib.error)


def file_bytes(path: Path) -> bytes:
    """Return the content of an image file. Raises ValueError if it is larger than `MOST_BYTES`."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 10**6} MB")
    return path.read_bytes()


def zip_members(archive: Path, wanted: Callable[[str], bool]) -> dict[str, Callable[[], bytes]]:
    """Return the members of a zip archive whose path is `wanted`, each with a function that reads its bytes.

    Raises FedmetaError if the archive is broken or not a file, or if a member, which it names, is encrypted, compressed
    by an unsupported method, or unpacks to more than `MOST_BYTES`. A function returns no more than the archive
    declares, and raises whatever zipfile does if the member is broken.
    """
    if archive.is_dir():
        raise FedmetaError(f"{archive} is a folder, not a zip file: rename it to {archive.stem}")
    try:
        opened = zipfile.ZipFile(archive)
    except BROKEN_ZIP as error:
        raise FedmetaError(f"{archive} is truncated or not a zip file: delete it and fetch it again") from error
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
                f"{archive}: {name} would unpack to {member.file_size / 10**6:,.0f} MB, more than the "
                f"{MOST_BYTES // 10**6} MB that an image may have: remove it from the archive"
            )
    return {name: partial(_unpack, opened, member) for name, member in members.items()}


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    # ZipFile.read would unpack everything, however little is declared, before it finds the checksum wrong.
    with archive.open(member) as file:
        return file.read(member.file_size)
