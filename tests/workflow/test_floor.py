"""Which model each accuracy over rounds is of: the floor is the model before the attack, on the same episodes."""

import csv
import io

import pytest
from helpers.naive import scores_naively
from helpers.stage_runs import evaluated_client, run_all, with_adam
from safetensors.torch import load

RATE = 0.02  # a few steps change many predictions


@pytest.fixture(scope="module")
def made(stages, stage_data, settings, tmp_path_factory):
    own = with_adam(settings, "reset")
    own["reptile"] = {**own["reptile"], "inner_learning_rate": RATE}
    return run_all(stages, stage_data, own, tmp_path_factory.mktemp("run") / "run", "serial", 1)


@pytest.fixture(scope="module")
def samplers(stage_data, settings):
    return evaluated_client(stage_data, settings).samplers(settings["evaluation"]["inner_steps"])


def test_every_accuracy_over_rounds_is_of_the_model_that_it_names(made, samplers, settings):
    before, attacked, after = (load(made[stage]) for stage in ("pretrain", "attack", "meta_train_after"))
    third = {name.removeprefix("round-3/"): tensor for name, tensor in after.items() if name.startswith("round-3/")}
    models = {("clean", 0): before, ("clean", 1): before, ("clean", 3): before}
    models |= {("attacked", 0): before, ("attacked", 1): attacked, ("attacked", 3): third}
    expected = {}
    for (model, step), parameters in models.items():
        for episode in range(settings["evaluation"]["episodes"]):
            for sampler in samplers.values():
                score = scores_naively(parameters, sampler.draw(2, episode), RATE)[1]
                expected |= {(model, step, episode, metric): value for metric, value in score.items()}
    written = {
        (row["model"], int(row["step"]), int(row["episode"]), row["metric"]): float(row["value"])
        for row in csv.DictReader(io.StringIO(made["evaluate"].decode()))
    }
    assert written == pytest.approx(expected)
    of = [{key[2:]: value for key, value in written.items() if key[:2] == name} for name in models]
    assert of[0] != of[4] and of[4] != of[5], "the models must differ in what they predict"
