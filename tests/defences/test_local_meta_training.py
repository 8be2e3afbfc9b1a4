"""Local meta-training (App. A.3), as its stage makes it: a naive loop; the client alone; going on where it stopped."""

import pytest
import torch
from helpers.naive import adapt_naively
from helpers.stage_runs import Job, run_all, with_adam
from safetensors.torch import load_file

from fedmeta.checkpoints import Unfinished
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.data.prepared import open_split
from fedmeta.defences import local_meta_training
from fedmeta.defences.interface import Client
from fedmeta.federation.client_models import read_client_model
from fedmeta.learning.conv4 import Conv4
from fedmeta.settings import part
from workflow.lib.jobs import chosen
from workflow.lib.stages import STAGES

ENTRY = {"method": "local_meta_training", "episodes": 5, "outer_learning_rate": 0.8}  # 3 meta-batches of 2
NETWORK = Conv4(1, 16, 3, filters=8)


@pytest.fixture(scope="module")
def attacked(stages, stage_data, settings, tmp_path_factory):
    """An attacked model with the Adam states of its users."""
    folder = tmp_path_factory.mktemp("attacked") / "run"
    run_all(stages, stage_data, settings, folder, "serial", 1)
    return folder / "attack.safetensors"


def repair(stages, stage_data, settings, attacked, output, **options):
    inputs = {name: stage_data[name] for name in ("images", "classes", "split")}
    params = {"settings": {**settings, "engine": "serial"}, "seed": 1, "client": 2, "repair": {**ENTRY, **options}}
    stages["repair"](Job("repair", {**inputs, "model": str(attacked)}, output, params, 1))
    return load_file(output)


@pytest.mark.parametrize(("rate", "rates"), [(0.8, (0.8, 0.8, 0.8)), ([0.9, 0.5], (0.9, 0.7, 0.5))])
def test_it_is_reptile_on_the_clients_own_classes(stages, stage_data, settings, attacked, tmp_path, rate, rates):
    settings = with_adam(settings, "reset")
    settings["reptile"] = {**settings["reptile"], "inner_learning_rate": 0.01}
    output = tmp_path / "repaired.safetensors"
    written = repair(stages, stage_data, settings, attacked, output, outer_learning_rate=rate)
    bank, split = open_split(stage_data)
    episodes = BenignEpisodes(bank, split.training(2), EpisodeShape(3, 4, 3, 5), 1, "local meta-training")
    before = {name: tensor for name, tensor in load_file(attacked).items() if not name.startswith("user-")}
    expected = before
    for step, own in enumerate(rates):
        adapted = [adapt_naively(expected, episodes.draw(0, 2, 2 * step + k), 0.01) for k in range(2)]
        expected = {n: (1 - own) * expected[n] + own / 2 * (adapted[0][n] + adapted[1][n]) for n in expected}
    for name, tensor in expected.items():
        torch.testing.assert_close(written[name], tensor, rtol=0, atol=2e-4)
    assert max((written[name] - before[name]).abs().max() for name in before) > 1e-2


def test_the_file_is_the_clients_model_with_its_own_adam_state(stages, stage_data, settings, attacked, tmp_path):
    written = repair(stages, stage_data, with_adam(settings, "carry"), attacked, tmp_path / "repaired.safetensors")
    before = load_file(attacked)
    assert {name for name in written if name.startswith("user-")} == {"user-2.second_moment", "user-2.taken"}
    assert any(name.startswith("user-3.") for name in before)
    assert int(written["user-2.taken"]) == int(before["user-2.taken"]) + 3 * settings["reptile"]["inner_steps"]
    model = read_client_model(tmp_path / "repaired.safetensors", NETWORK, 2)
    assert torch.equal(model.second_moment, written["user-2.second_moment"])
    assert read_client_model(tmp_path / "repaired.safetensors", NETWORK, 3).taken == 0


def test_it_goes_on_from_unfinished_work(stages, stage_data, settings, attacked, tmp_path):
    """Stopped after the first of three meta-steps and run again: two more, and the bytes are as without a stop."""
    expected = repair(stages, stage_data, settings, attacked, tmp_path / "repaired.safetensors")
    own = part(chosen({**settings, "engine": "serial"}, STAGES["repair"].settings))
    bank, split = open_split(stage_data)

    class Stop(Exception):
        pass

    class Stopping(Unfinished):
        def save_if_due(self, tensors):
            super().save_if_due(tensors)
            raise Stop

    class Counting(Unfinished):
        saves = 0

        def save_if_due(self, tensors):
            self.saves += 1

    def client(kind):
        unfinished = kind(tmp_path / "other.safetensors", "key", interval=0)
        return Client(2, NETWORK, bank, split.training(2), own, 1, 1, unfinished)

    model = read_client_model(attacked, NETWORK, 2)
    options = local_meta_training.Options(**ENTRY)
    with pytest.raises(Stop):
        local_meta_training.repair(model, client(Stopping), options)
    again = client(Counting)
    after = local_meta_training.repair(model, again, options)
    assert again.unfinished.saves == 2
    for name, view in NETWORK.views(after.parameters).items():
        assert torch.equal(view, expected[name])
    assert torch.equal(after.second_moment, expected["user-2.second_moment"])
