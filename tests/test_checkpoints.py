"""Files are whole or absent, models survive the round trip, unfinished work is taken up only where it fits."""

import errno
import logging
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open

from fedmeta.checkpoints import Unfinished, fingerprint, read_tensors, write_tensors
from fedmeta.errors import FedmetaError
from fedmeta.federation.models import from_named, to_named
from fedmeta.federation.rounds import Federation
from fedmeta.files import atomic_path


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "cannot write"), (errno.EROFS, "cannot write")],
)
def test_errors_of_the_disk_name_the_file_and_the_remedy(tmp_path, number, message):
    with pytest.raises(FedmetaError, match=f"{message}.*model.*and run again"), atomic_path(tmp_path / "model"):
        raise OSError(number, "")
    assert not list(tmp_path.iterdir())


def test_model_file_holds_named_parameters_and_comes_back_whole(tmp_path, network):
    federation = Federation(
        network.initial(np.random.default_rng(0)), {2: torch.rand(network.parameter_count)}, {2: 40}, 3
    )
    write_tensors(tmp_path / "model.safetensors", to_named(network, federation, "round-3/"), {"seed": 1})
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert file.get_tensor("round-3/conv2.kernel").shape == (8, 8, 3, 3)
    named, provenance = read_tensors(tmp_path / "model.safetensors")
    again = from_named(network, named, "round-3/")
    assert torch.equal(again.shared, federation.shared)
    assert torch.equal(again.second_moments[2], federation.second_moments[2])
    assert (again.taken, again.round, again.step) == ({2: 40}, 0, 0)
    assert provenance == {"seed": 1}


def test_the_same_model_gives_the_same_bytes(tmp_path, network):
    named = to_named(network, Federation(network.initial(np.random.default_rng(0))))
    for name in ("first", "second"):
        write_tensors(tmp_path / name, named, {"b": 1, "a": [2, 3]})
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_model_file_cut_short_or_of_another_network_is_refused(tmp_path, network):
    path = tmp_path / "model.safetensors"
    write_tensors(path, to_named(network, Federation(network.initial(np.random.default_rng(0)))), {})
    with pytest.raises(FedmetaError, match="does not fit the network"):
        from_named(network._replace(filters=16), read_tensors(path)[0])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FedmetaError, match=r"model\.safetensors is not a valid model file: delete it"):
        read_tensors(path)
    with pytest.raises(FedmetaError, match="not a valid model file"):
        read_tensors(tmp_path / "absent")


def test_unfinished_work_is_taken_up_only_under_its_own_key(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    work = Unfinished(tmp_path / "model", "key", interval=0)
    assert work.load() is None
    work.save_if_due(lambda: {"x": torch.arange(3)})
    assert work.load()["x"].tolist() == [0, 1, 2]
    assert "resuming unfinished work" in caplog.text
    assert Unfinished(tmp_path / "model", "other").load() is None
    assert "settings or inputs have changed" in caplog.text
    work.path.write_bytes(b"cut")
    assert work.load() is None
    assert "not a valid file of unfinished work" in caplog.text
    work.remove()
    assert not list(tmp_path.iterdir())


def test_unfinished_work_knows_how_long_it_took_over_all_runs(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for begun, spent in ((0.0, 30.0), (30.0, 5.0), (35.0, 7.0)):
        work = Unfinished(tmp_path / "model", "key")
        now[0] += 1000  # reading the images, say: work begins when it is loaded
        assert (work.load() is None) == (begun == 0)
        assert work.earlier == begun
        now[0] += spent
        work.saved = 0.0
        work.save_if_due(lambda: {"x": torch.arange(3)})
        now[0] += 19  # lost, and so done again
    write_tensors(work.path, {"x": torch.arange(3)}, {"key": "key"})
    assert work.load() is not None
    assert math.isnan(work.earlier)
    assert Unfinished(tmp_path / "model", "other").load() is None


def test_a_folder_in_the_place_of_unfinished_work_is_passed_over(tmp_path, caplog):
    work = Unfinished(tmp_path / "model", "key", interval=0)
    work.path.mkdir()
    assert work.load() is None
    assert "not a valid file of unfinished work" in caplog.text
    work.save_if_due(lambda: {"x": torch.arange(3)})
    assert "could not be saved, continuing without: cannot write" in caplog.text
    assert "remove the file or folder in its place" in caplog.text
    work.remove()
    assert [path.name for path in tmp_path.iterdir()] == [work.path.name]


def test_unfinished_work_is_saved_only_when_due(tmp_path):
    work = Unfinished(tmp_path / "model", "key", interval=1000)
    work.save_if_due(lambda: pytest.fail("not due"))
    assert not work.path.exists()


def test_fingerprint_depends_on_settings_and_contents_but_not_on_key_order(tmp_path):
    file = tmp_path / "input"
    file.write_text("content")
    first = fingerprint({"a": 1, "b": [2]}, [file])
    assert first == fingerprint({"b": [2], "a": 1}, [file])
    assert first != fingerprint({"a": 1, "b": [3]}, [file])
    file.write_text("changed")
    assert first != fingerprint({"a": 1, "b": [2]}, [file])
