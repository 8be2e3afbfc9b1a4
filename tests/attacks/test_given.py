"""A model file in place of an attack: ours comes back as it is, a stranger's goes on from the pre-trained state."""

import pytest
import torch
from helpers.stage_runs import Job
from safetensors.torch import load_file, save_file

from fedmeta.errors import FedmetaError


@pytest.fixture(scope="module")
def data(stage_data):
    return {
        **stage_data,
        "keyed": stage_data["attack_training"],
        "keyed_classes": stage_data["attack_training_classes"],
    }


def run(stages, name, data, settings, model, output):
    job = Job(name, {**data, **model}, output, {"settings": {**settings, "engine": "serial"}, "seed": 1}, 1)
    stages[name](job)
    return {"model": str(output)}


@pytest.fixture(scope="module")
def ours(stages, data, settings, tmp_path_factory):
    """Our pre-trained and our attacked model."""
    folder = tmp_path_factory.mktemp("ours")
    pretrained = run(stages, "pretrain", data, settings, {}, folder / "pretrained.safetensors")
    return pretrained, run(stages, "attack", data, settings, pretrained, folder / "attacked.safetensors")


def given(settings, path):
    return {**settings, "attack": {"method": "given", "model": str(path)}}


def test_our_own_model_and_what_follows_come_back(stages, data, settings, ours, tmp_path):
    pretrained, attacked = ours
    own = given(settings, attacked["model"])
    again = run(stages, "attack", data, own, pretrained, tmp_path / "attacked.safetensors")
    after = run(stages, "meta_train_after", data, own, again, tmp_path / "after.safetensors")
    expected = run(stages, "meta_train_after", data, settings, attacked, tmp_path / "expected.safetensors")
    for made, reference in ((again, attacked), (after, expected)):
        made, reference = load_file(made["model"]), load_file(reference["model"])
        assert made.keys() == reference.keys()
        assert all(torch.equal(made[name], reference[name]) for name in made)
    assert (tmp_path / "attacked.decisions.csv").read_text() == "stage,round,user,weight,rejected\n"


def test_a_strangers_model_has_no_state_of_users(stages, data, settings, ours, tmp_path):
    before, path = load_file(ours[0]["model"]), tmp_path / "strange.safetensors"
    strange = {name: tensor + 1 for name, tensor in before.items() if not name.startswith("user-")}
    save_file(strange, path)  # without our metadata
    made = load_file(
        run(stages, "attack", data, given(settings, path), ours[0], tmp_path / "made.safetensors")["model"]
    )
    assert made.keys() == before.keys()
    for name in made:
        assert torch.equal(made[name], strange.get(name, before[name])), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("norm2.beta"), r"not a model of this network.*\(norm2.beta\)"),
        (lambda tensors: tensors["conv1.kernel"].fill_(float("nan")), "NaN or infinity"),
        (None, "cannot be read as safetensors"),
    ],
)
def test_a_file_that_is_no_model_is_one_clear_line(stages, data, settings, ours, tmp_path, change, message):
    path = tmp_path / "broken.safetensors"
    tensors = load_file(ours[0]["model"])
    if change is None:
        path.write_bytes(b"broken")
    else:
        change(tensors)
        save_file(tensors, path)
    with pytest.raises(FedmetaError, match=rf"^attack\.model: .*broken\.safetensors.*{message}"):
        run(stages, "attack", data, given(settings, path), ours[0], tmp_path / "made.safetensors")
    assert not (tmp_path / "made.safetensors").exists()
