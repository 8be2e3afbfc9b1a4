"""Repairs one after the other, as their stage makes them; the mix as a repair; going on after an interruption."""

import copy

import pytest
import torch
from helpers.model_files import write_random_model
from helpers.stage_runs import Job
from safetensors.torch import load_file

from fedmeta.checkpoints import Unfinished
from fedmeta.draws import generator
from fedmeta.learning.conv4 import Conv4

NETWORK = Conv4(1, 16, 3, filters=8)
MIX = {"method": "mix", "delta": 0.3}
LOCAL = {"method": "local_meta_training", "episodes": 6, "outer_learning_rate": [1.0, 0.5]}  # 3 meta-batches of 2


@pytest.fixture
def attacked(tmp_path):
    return write_random_model(tmp_path / "attacked.safetensors", NETWORK, seed=1)


@pytest.fixture
def repair(stages, stage_data, settings):
    def run(model, output, entry):
        inputs = {name: stage_data[name] for name in ("images", "classes", "split")}
        params = {"settings": {**settings, "engine": "serial"}, "seed": 1, "client": 2, "repair": copy.deepcopy(entry)}
        stages["repair"](Job("repair", {**inputs, "model": model}, output, params, 1))
        return load_file(output)

    return run


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("delta", [0.0, 0.3, [1, 0, 0, 1, 0]])
def test_the_mix_is_one_for_the_client_and_adam_begins_anew(repair, attacked, tmp_path, delta):
    written = repair(attacked, tmp_path / "repaired.safetensors", {**MIX, "delta": delta})
    before, fresh = load_file(attacked), NETWORK.views(NETWORK.initial(generator(1, "glorot mix", 2)))
    assert written.keys() == fresh.keys(), "no state of Adam"
    layers = ("1.", "2.", "3.", "4.", "classifier")
    for name, tensor in written.items():
        own = delta
        if isinstance(delta, list):
            (own,) = [each for each, layer in zip(delta, layers, strict=True) if layer in name]
        torch.testing.assert_close(tensor, own * before[name] + (1 - own) * fresh[name], rtol=1e-5, atol=1e-6)


def test_from_a_fresh_network_a_client_ends_the_same_whatever_it_received(repair, attacked, tmp_path):
    """Alone: meta-training from delta 0."""
    clean = write_random_model(tmp_path / "clean.safetensors", NETWORK, seed=2)
    entry = [{**MIX, "delta": 0}, LOCAL]
    models = [repair(model, tmp_path / f"{k}.safetensors", entry) for k, model in enumerate((attacked, clean))]
    assert_same(*models)
    fresh = NETWORK.views(NETWORK.initial(generator(1, "glorot mix", 2)))
    assert (models[0]["conv1.kernel"] - fresh["conv1.kernel"]).abs().max() > 1e-3


def test_each_repair_begins_with_what_the_one_before_made(repair, attacked, tmp_path):
    first = tmp_path / "first.safetensors"
    repair(attacked, first, MIX)
    one_by_one = repair(str(first), tmp_path / "second.safetensors", LOCAL)
    together = repair(attacked, tmp_path / "together.safetensors", [MIX, LOCAL])
    assert_same(one_by_one, together)
    other_way = repair(attacked, tmp_path / "other.safetensors", [LOCAL, MIX])
    assert not torch.equal(other_way["conv1.kernel"], together["conv1.kernel"])


@pytest.mark.parametrize("stopped_after", [1, 2, 4, 5])
def test_interrupted_in_any_of_several_they_go_on(repair, attacked, tmp_path, monkeypatch, stopped_after):
    """Stopped after that many of six meta-steps: all that was saved counts, and the bytes are as without a stop."""
    entry = [LOCAL, {**MIX, "delta": 0.5}, {**LOCAL, "outer_learning_rate": 0.5}]
    expected = repair(attacked, tmp_path / "expected.safetensors", entry)
    steps, save = [], Unfinished.save_if_due

    class Stop(Exception):
        pass

    def stopping(self, tensors):
        self.interval = 0
        save(self, tensors)
        steps.append(self.path.name)
        if len(steps) == stopped_after:
            raise Stop

    monkeypatch.setattr(Unfinished, "save_if_due", stopping)
    output = tmp_path / "other.safetensors"
    with pytest.raises(Stop):
        repair(attacked, output, entry)
    assert not output.exists()
    assert_same(repair(attacked, output, entry), expected)
    assert len(steps) == 6 and steps.count(steps[0]) == 3, steps
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_list_of_one_keeps_its_unfinished_work_where_a_single_repair_does(repair, attacked, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "remove", lambda self: places.append(self.path.name))
    written = []
    for entry in (LOCAL, [LOCAL]):
        places = []
        written.append(repair(attacked, tmp_path / "x.safetensors", entry))
        assert places == [".x.safetensors.unfinished"]
    assert_same(*written)
