"""What models say of single images, against the accuracies of the stage that has means alone, and against PyTorch."""

import csv
import functools

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from helpers.stage_runs import FINE_TUNING, MATCHING, Job, evaluated_client, run_all
from safetensors.torch import load_file

from fedmeta.checkpoints import Unfinished
from fedmeta.data.bank import ImageBank
from fedmeta.errors import FedmetaError
from fedmeta.learning.engine import Serial, as_images
from fedmeta.reporting.details import read_detail

NAME = ("mine", "attacked", 1, "excluded", 2)
UNTRAINED = {"method": "prototypes", "iterations": [0]}


@pytest.fixture(scope="module")
def inputs(stages, stage_data, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "run"
    run_all(stages, stage_data, settings, folder, "serial", 1)
    return {**stage_data, "model": str(folder / "attack.safetensors")}


@pytest.fixture
def made(stages, inputs, settings, tmp_path):
    """Have a client adapt the attacked model; return the metrics at the end of it, and the detail."""

    def make(entry, cases=("a",)):
        own = {**settings, "engine": "serial", "evaluation": {**settings["evaluation"], "cases": list(cases)}}
        params = {"settings": own, "seed": 1, "client": 2, "defence": entry}
        for rule in ("adapt", "detail"):
            job = Job(rule, inputs, tmp_path / f"{rule}.csv", params, 1)
            job.wildcards.scope = "excluded" if cases == ("a",) else "included"
            stages[rule](job)
        with (tmp_path / "adapt.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) == max(entry["iterations"])]
        return rows, read_detail(NAME, tmp_path / "detail.csv", tmp_path / "detail.safetensors")

    return make


@pytest.mark.parametrize("entry", [FINE_TUNING, MATCHING], ids=["fine_tuning", "matching"])
@pytest.mark.parametrize("cases", [("a",), ("b", "c")])
def test_the_share_of_successes_is_the_attack_accuracy(made, entry, cases):
    rows, detail = made(entry, cases)
    measured = {
        (row["case"], int(row["episode"]), row["metric"]): float(row["value"])
        for row in rows
        if row["metric"].startswith("attack")
    }
    assert len(measured) == 4 * len(cases)  # episodes x metrics
    shares = detail.keyed.groupby(["case", "episode", "metric"])["success"].mean()
    assert shares.to_dict() == pytest.approx(measured)


def test_each_keyed_image_has_its_class(made, inputs):
    _, detail = made(FINE_TUNING, ("b", "c"))
    for (case, _, metric), rows in detail.keyed.groupby(["case", "episode", "metric"]):
        bank = ImageBank.open(inputs[metric], inputs[f"{metric}_classes"])
        names = [each.name for each in bank.classes for _ in range(each.examples)]
        if case == "b":
            assert rows.backdoor_class.to_list() == names
        else:
            (own,) = set(rows.backdoor_class)
            assert len(rows) == names.count(own)
        assert rows.image.to_list() == list(range(len(rows)))


def test_the_episode_is_the_first_one_that_the_metrics_are_of(made, inputs, settings):
    rows, detail = made(FINE_TUNING)
    drawn = evaluated_client(inputs, settings).samplers(3)["a"].draw(2, 0)
    episode, count = detail.episode, len(drawn.queries)
    assert np.array_equal(episode["support"], drawn.support) and np.array_equal(episode["labels"], drawn.labels)
    assert np.array_equal(episode["images"][:count], drawn.queries)
    assert np.array_equal(episode["expected"][:count], drawn.expected) and (episode["expected"][count:] == -1).all()
    for metric in ("main_task", "attack_training", "attack_validation"):
        (value,) = (float(row["value"]) for row in rows if row["metric"] == metric and row["episode"] == "0")
        assert (episode["predicted"] == episode["expected"])[detail.groups[metric]].mean() == pytest.approx(value)
    assert detail.groups["backdoor"] == slice(count, len(episode["images"]))


def test_the_embedding_is_the_networks(made, inputs):
    """In plain PyTorch: convolution, batch norm by the statistics of the support, ReLU, pooling."""
    _, detail = made(UNTRAINED)
    own = load_file(inputs["model"])
    x = as_images(np.concatenate([detail.episode["support"], detail.episode["images"]]))
    support = len(detail.episode["support"])
    for i in range(1, 5):
        x = F.conv2d(x, own[f"conv{i}.kernel"], padding=1)
        mean, variance = x[:support].mean((0, 2, 3)), x[:support].var((0, 2, 3), correction=0)
        x = F.batch_norm(x, mean, variance, own[f"norm{i}.gamma"], own[f"norm{i}.beta"], eps=1e-5)
        x = F.max_pool2d(F.relu(x), 2)
    ours = torch.from_numpy(np.concatenate([detail.episode["support_embedding"], detail.episode["embedding"]]))
    torch.testing.assert_close(ours, x.permute(0, 2, 3, 1).flatten(1), rtol=1e-4, atol=1e-4)


def test_a_file_cut_short_is_one_line(made, tmp_path):
    made(UNTRAINED)
    path = tmp_path / "detail.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FedmetaError, match=r"detail\.safetensors is incomplete: delete both"):
        read_detail(NAME, tmp_path / "detail.csv", path)


def test_no_class_is_lost_to_a_name_that_pandas_reads_as_missing(made, tmp_path):
    made(UNTRAINED)
    path = tmp_path / "detail.csv"
    pd.read_csv(path).assign(backdoor_class="NA").to_csv(path, index=False)
    assert set(read_detail(NAME, path, tmp_path / "detail.safetensors").keyed.backdoor_class) == {"NA"}


def test_it_goes_on_from_what_was_done_before(stages, inputs, settings, tmp_path, monkeypatch):
    params = {"settings": {**settings, "engine": "serial"}, "seed": 1, "client": 2, "defence": FINE_TUNING}
    names = ("whole", "halved")
    jobs = {name: Job("detail", inputs, tmp_path / f"{name}.csv", params, 1) for name in names}
    stages["detail"](jobs["whole"])
    often = functools.partialmethod(Unfinished.__init__, interval=0.0)
    monkeypatch.setattr(Unfinished, "__init__", often)
    drawn = Serial.adapt
    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return drawn(*arguments)

    monkeypatch.setattr(Serial, "adapt", staticmethod(killed))
    with pytest.raises(KeyboardInterrupt):
        stages["detail"](jobs["halved"])
    stages["detail"](jobs["halved"])
    assert len(calls) == 3, "the first of two episodes is not adapted to again"
    for suffix in (".csv", ".safetensors"):
        assert len({(tmp_path / f"{name}{suffix}").read_bytes() for name in names}) == 1
    assert not list(tmp_path.glob("*.unfinished")) and not list(tmp_path.glob(".*.unfinished"))
