"""Pickles of every protocol and numpy's versions are read; no program in one is run."""

import os
import pickle
import resource
import struct
from collections import OrderedDict

import numpy as np
import pytest
from helpers.picture_files import noise

from fedmeta.data.restricted_pickle import ADMITTED, load_plain
from fedmeta.errors import FedmetaError

ARRAYS = {
    "bytes": noise(1, shape=(5, 4, 4, 3)),
    "in Fortran's order": np.asfortranarray(noise(2, shape=(5, 4, 3))),
    "a part of a larger one": noise(3, shape=(10, 4))[::2],
    "transposed": noise(4, shape=(2, 3, 4, 5)).transpose(3, 0, 1, 2),
    "big-endian": np.arange(6, dtype=">i4").reshape(2, 3),
    "numbers": np.linspace(0, 1, 7),
}


def write(tmp_path, data: bytes):
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_read_as_they_were_written(tmp_path, name, protocol):
    path = write(tmp_path, pickle.dumps({"a": ARRAYS[name]}, protocol))
    values = load_plain(path)["a"].values
    assert np.array_equal(values, ARRAYS[name])
    assert values.dtype == ARRAYS[name].dtype


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_are_read_as_they_were_written(tmp_path, protocol):
    plain = {"a": [1, 2.5, None, True], "b": ("x", {"y": [-7]}), 3: []}
    written = OrderedDict(plain) | {"number": np.int64(12)}
    assert load_plain(write(tmp_path, pickle.dumps(written, protocol))) == plain | {"number": 12}


@pytest.mark.parametrize("core", ["core", "_core"])
def test_numpy_s_names_of_all_versions_are_known(tmp_path, core):
    data = pickle.dumps({"a": ARRAYS["bytes"]}, 2).replace(b"numpy._core.", b"numpy.core.")
    data = data.replace(b"numpy.core.", f"numpy.{core}.".encode())
    assert core.encode() in data
    assert np.array_equal(load_plain(write(tmp_path, data))["a"].values, ARRAYS["bytes"])


class Program:
    """Pickles itself as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.mkdir, eval, print, np.load, np.fromfile, getattr])
def test_a_program_is_refused_and_not_run(tmp_path, function, protocol):
    target = tmp_path / "made"
    argument = f"__import__('os').mkdir({str(target)!r})" if function is eval else str(target)
    path = write(tmp_path, pickle.dumps({"image_data": Program(function, argument)}, protocol))
    name = rf"[\w.]+\.{function.__name__}"
    with pytest.raises(FedmetaError, match=f"file.pkl is refused: it asks for {name}, and only arrays"):
        load_plain(path)
    assert not target.exists()
    if function in (os.mkdir, eval):  # the file is as dangerous as it looks
        pickle.loads(path.read_bytes())
        assert target.exists()


def test_names_that_reach_through_others_are_refused(tmp_path):
    for module, name in (("numpy", "ndarray.tofile"), ("_codecs", "encode.__globals__"), ("os", "system")):
        data = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name)) + b"\x93."
        with pytest.raises(FedmetaError, match=f"asks for {module}.{name}"):
            load_plain(write(tmp_path, data))


def test_arrays_of_objects_and_records_are_refused(tmp_path):
    for array in (np.array([{}, {}], object), np.zeros(3, [("a", "u1")]), np.array(["text"])):
        with pytest.raises(FedmetaError, match=r"file\.pkl is truncated or not a pickle of arrays \(an array of type"):
            load_plain(write(tmp_path, pickle.dumps(array)))


def test_what_is_cut_short_or_made_up_is_named(tmp_path):
    whole = pickle.dumps({"a": ARRAYS["bytes"]}, 4)
    another = pickle.dumps({"a": ARRAYS["bytes"]}, 2)
    made_up = another.replace(b"(K\x05K\x04", b"(K\x06K\x04")  # the first axis is longer than what there is
    assert made_up != another
    for data in (b"", b"PK\x03\x04", whole[:-1], whole[:100], made_up):
        with pytest.raises(FedmetaError, match=r"file\.pkl is truncated or not a pickle of arrays"):
            load_plain(write(tmp_path, data))


# The names that a file may ask for, as it asks for them.
ADMITTED_NAMES = [name.rsplit(".", 1) for name in ADMITTED]


def asked_for(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


@pytest.mark.parametrize(("module", "name"), ADMITTED_NAMES)
@pytest.mark.parametrize(
    "state",
    [
        b"N}\x8c\x0c__defaults__)s\x86",  # (None, {"__defaults__": ()}): attributes to set
        b"}\x8c\x0c__defaults__)s",  # {"__defaults__": ()}: the same as a __dict__
        b"N}\x8c\x05_makeNs\x86",
        b"N}\x8c\x06valuesNs\x86",
    ],
)
def test_what_a_file_may_call_it_cannot_change(tmp_path, module, name, state):
    before = {key: (made, getattr(made, "__defaults__", None), {**vars(made)}) for key, made in functions().items()}
    path = write(tmp_path, b"\x80\x04" + asked_for(module, name) + state + b"b.")
    with pytest.raises(FedmetaError, match=r"file\.pkl is (refused: it asks for a change of a function|truncated)"):
        load_plain(path)
    after = {key: (made, getattr(made, "__defaults__", None), {**vars(made)}) for key, made in functions().items()}
    assert after == before


def functions() -> dict:
    return {name: made for name, made in ADMITTED.items() if made is not dict}


@pytest.mark.parametrize(("module", "name"), ADMITTED_NAMES)
def test_no_class_comes_from_a_file(tmp_path, module, name):
    """NEWOBJ and the like would make an object past its __init__, and of whatever class."""
    for make in (b")\x81.", b")}\x92."):
        with pytest.raises(FedmetaError, match=r"file\.pkl is truncated or not a pickle of arrays"):
            load_plain(write(tmp_path, b"\x80\x04" + asked_for(module, name) + make))


def test_an_array_that_is_changed_twice_changes_no_other(tmp_path):
    """A state belongs to the one array that it is given to, and `__class__` is nobody's."""
    state = b"N}\x8c\x09__class__" + asked_for("numpy", "dtype") + b"s\x86b"
    array = asked_for("numpy", "ndarray") + b")R"
    with pytest.raises(FedmetaError, match="truncated or not a pickle"):
        load_plain(write(tmp_path, b"\x80\x02" + array + state + b"."))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02K\x01r" + struct.pack("<I", 0x0FFFFFFF) + b"0.",  # a place far away in the memo
        b"\x80\x05\x96" + struct.pack("<Q", 6 << 30) + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x02\x82\x01.",  # a class of Python's registry of extensions
        b"\x80\x02Px\n.",
    ],
)
def test_a_few_bytes_cannot_fill_the_memory(tmp_path, data):
    path = write(tmp_path, data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FedmetaError, match=r"file\.pkl is truncated or not a pickle of arrays"):
        load_plain(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB
