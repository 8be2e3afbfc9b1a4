"""Pickles of arrays, strings, numbers and plain containers, read without calling anything that the file names.

A pickle is a program: `pickle.load` would run whatever its author wrote. Here each of the few names that such a file
needs stands for something in this module that makes plain data only; any other name is refused.
"""

import os
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fedmeta.errors import FedmetaError

PLAIN_NUMBERS = re.compile(r"[<>|=]?[biuf]\d+")


class PickledArray:
    """A numpy array in a pickle; `values` is the array itself, read-only, a view of the file's bytes."""

    def __init__(self, *_: Any) -> None:
        """Empty at first, as in numpy's pickles; the content follows as a state."""
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, content = state
        self.values = np.frombuffer(content, dtype.plain()).reshape(shape, order="F" if fortran else "C")


class PickledType:
    """The type of an array's or a scalar's values: numbers, not objects or records."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        self.code, self.order = _text(code), "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = _text(state[1])

    def plain(self) -> np.dtype:
        if not PLAIN_NUMBERS.fullmatch(self.code):
            raise ValueError(f"an array of type {self.code}")
        return np.dtype(self.code).newbyteorder(self.order)  # pyright: ignore[reportArgumentType]  numpy refuses others


class Admitted:
    """What a file may call. It is neither class nor function and has no state: a file cannot change what it does."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        """Refuse: otherwise unpickling could set any attribute, even the defaults of a function."""
        raise _Refused("a change of a function")


def load_plain(path: str | os.PathLike) -> Any:
    """Return what the pickle in the file `path` contains: arrays are PickledArray, Python 2's strings are bytes.

    Raises FedmetaError if the file is broken, or asks for anything else.
    """
    try:
        with open(path, "rb") as file:
            return _Unpickler(file, encoding="bytes").load()
    except _Refused as error:
        raise FedmetaError(
            f"{path} is refused: it asks for {error}, and only arrays, strings and plain containers are allowed; "
            "use another copy"
        ) from error
    except Exception as error:  # a broken pickle can raise anything
        reason = f" ({error})" if isinstance(error, (ValueError, OSError)) else ""
        raise FedmetaError(f"{path} is truncated or not a pickle of arrays{reason}: fetch it again") from error


class _Refused(Exception):
    pass


class _Unpickler(pickle._Unpickler):
    """The standard one, written in Python: the one in C may fill gigabytes of memory for a file of ten bytes."""

    # A bytearray would be filled with zeros, to whatever size the file declares, before it is read.
    dispatch = {  # noqa: RUF012
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: pickle._Unpickler.load_binbytes8,  # pyright: ignore[reportAttributeAccessIssue]  undeclared
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return Admitted(ADMITTED[f"{module}.{name}"])
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("ascii")


def _array(content: bytes, dtype: PickledType, shape: tuple, order: str, axis_order: tuple | None = None):
    array = PickledArray()
    array.values = np.frombuffer(content, dtype.plain()).reshape(shape, order="F" if order == "F" else "C")
    if axis_order is not None:
        array.values = array.values.transpose(axis_order)
    return array


def _number(dtype: PickledType, content: bytes) -> int | float:
    return np.frombuffer(content, dtype.plain())[0].item()


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


# What all versions of numpy write, with any pickle protocol. An OrderedDict becomes a dict.
ADMITTED = {
    "numpy.ndarray": PickledArray,
    "numpy.dtype": PickledType,
    **{f"numpy.{core}.multiarray._reconstruct": PickledArray for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _number for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array for core in ("core", "_core")},
    "_codecs.encode": _latin1,
    "collections.OrderedDict": dict,
}
