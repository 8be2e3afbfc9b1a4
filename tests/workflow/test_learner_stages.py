"""Stages under each learner of meta-training: the same bytes with any engine and worker count; the params of jobs."""

import pytest
import torch
import yaml
from helpers.learners import LEARNERS
from helpers.project import ROOT
from helpers.stage_runs import JOBS, TRAINING, Job, assert_equal_but_for_rounding, run_all, with_adam
from safetensors.torch import load

from fedmeta.learning.meta import fedavg
from fedmeta.settings import lay, with_table
from workflow.lib.jobs import Jobs, Place

OTHERS = ("fomaml", "fedavg")


def with_learner(settings, name, adam="carry"):
    return lay(with_adam(settings, adam), {"reptile": {"learner": LEARNERS[name]}})


@pytest.fixture(scope="module")
def serial(stages, stage_data, settings, tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """What the serial engine makes under each learner."""
    folder = tmp_path_factory.mktemp("serial")
    return {
        name: run_all(stages, stage_data, with_learner(settings, name), folder / name, "serial", 1) for name in LEARNERS
    }


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("threads", [2, 3])
def test_workers_write_the_bytes_of_the_serial_engine(stages, stage_data, settings, tmp_path, serial, name, threads):
    written = run_all(stages, stage_data, with_learner(settings, name), tmp_path / "run", "workers", threads)
    for job, content in serial[name].items():
        assert written[job] == content, job


@pytest.mark.parametrize("adam", ["reset", "persist"])
@pytest.mark.parametrize("name", OTHERS)
def test_workers_and_serial_agree_in_the_other_modes_of_adam(stages, stage_data, settings, tmp_path, name, adam):
    own = with_learner(settings, name, adam)
    expected = run_all(stages, stage_data, own, tmp_path / "serial", "serial", 1)
    written = run_all(stages, stage_data, own, tmp_path / "workers", "workers", 2)
    assert written == expected


@pytest.mark.parametrize("name", OTHERS)
def test_the_batched_engine_gives_the_serial_results_but_for_rounding(
    stages, stage_data, settings, tmp_path, serial, name
):
    written = run_all(stages, stage_data, with_learner(settings, name), tmp_path / "run", "batched", 1)
    assert_equal_but_for_rounding(written, serial[name], 2e-4)


@pytest.mark.parametrize("job", ["pretrain", "attack", "meta_train_after", "local_meta_training"])
def test_learners_give_different_models(serial, job):
    assert len({made[job] for made in serial.values()}) == len(LEARNERS)


def test_heads_of_fedavg_pass_from_stage_to_stage_and_no_further(serial):
    """Users keep them, the client too in what it does alone; evaluation has no use for them."""
    by_stage = {stage: load(content) for stage, content in serial["fedavg"].items() if stage in TRAINING}
    heads = {
        stage: {name: tensor for name, tensor in tensors.items() if ".private." in name}
        for stage, tensors in by_stage.items()
    }
    users = {name.split(".")[0] for name in heads["pretrain"]}
    assert {"user-2", "user-3", "user-4"} == users == {name.split(".")[0] for name in heads["attack"]}
    assert heads["meta_train_after"] == heads["local_meta_training"] == {}
    steps = [int(heads[stage]["user-2.private.taken"]) for stage in ("pretrain", "attack")]
    assert steps == [24, 30], "2 rounds of 2 meta-steps of 2 x 3 batches, and 1 meta-step more"
    assert not any(name.endswith("taken") and ".private." not in name for name in by_stage["pretrain"])
    classifiers = [by_stage[stage]["classifier.kernel"] for stage in ("pretrain", "attack")]
    assert not torch.equal(*classifiers), "the attacker moves the shared classifier"
    for number in (2, 3):  # and no one else does
        after = by_stage["meta_train_after"][f"round-{number}/classifier.kernel"]
        assert torch.equal(after, classifiers[1])


def test_a_client_goes_on_with_its_own_head_when_it_meta_trains_alone(
    stages, stage_data, settings, tmp_path, serial, monkeypatch
):
    def drawn(*_):
        raise AssertionError("a fresh head")

    monkeypatch.setattr(fedavg.MetaTraining, "private", drawn)
    (tmp_path / "attacked.safetensors").write_bytes(serial["fedavg"]["attack"])
    inputs = {**stage_data, "model": str(tmp_path / "attacked.safetensors")}
    params = {"settings": {**with_learner(settings, "fedavg"), "engine": "serial"}, "seed": 1, "client": 2}
    output = tmp_path / "local.safetensors"
    stages["repair"](Job("repair", inputs, output, params | JOBS["local_meta_training"][1], 1))
    assert output.read_bytes() == serial["fedavg"]["local_meta_training"]


@pytest.fixture
def config() -> dict:
    return with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))


def test_reptile_goes_without_saying_and_other_learners_are_params_with_all_their_options(config):
    def reptile(stage, **learner):
        jobs = Jobs(lay(config, {"reptile": {"learner": learner}}))
        return jobs.params(stage, Place("default", "glyphs", "matching-local" if stage == "repair" else ""))[
            "settings"
        ]["reptile"]

    for stage in ("pretrain", "attack", "meta_train_after", "repair"):
        assert "learner" not in reptile(stage)
        assert reptile(stage, method="fomaml")["learner"] == {"method": "fomaml", "rate": 0.1, "queries": 5}
        assert reptile(stage, method="fedavg")["learner"] == {"method": "fedavg"}
    assert "learner" not in reptile("evaluate", method="fedavg")


def test_a_repair_depends_on_the_learner_only_if_it_meta_trains(config):
    config["defences"]["pruned"] = {"method": "fine_tuning", "repair": {"method": "fine_pruning"}}
    config["defences"]["both"] = {
        "method": "fine_tuning",
        "repair": [{"method": "mix"}, {"method": "local_meta_training"}],
    }
    jobs = Jobs(lay(config, {"reptile": {"learner": {"method": "fedavg"}}}))
    learner = "fedmeta/learning/meta/fedavg.py"
    used = {name: jobs.method_files("repair", Place("default", "glyphs", name)) for name in ("pruned", "both")}
    assert {name: learner in files for name, files in used.items()} == {"pruned": False, "both": True}
    assert jobs.method_files("adapt", Place("default", "glyphs", "both")) == ["fedmeta/defences/fine_tuning.py"]
    assert learner in jobs.method_files("pretrain", Place("default", "glyphs"))
