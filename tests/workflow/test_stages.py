"""The stages, run as Snakemake runs them: their files are the same bytes with any engine and worker count."""

import csv

import pytest
from helpers.naive import scores_naively
from helpers.stage_runs import (
    ADAM_MODES,
    FINE_TUNING,
    Job,
    assert_equal_but_for_rounding,
    evaluated_client,
    run_all,
    with_adam,
)
from safetensors.torch import load

from fedmeta.draws import generator
from fedmeta.learning.conv4 import Conv4


@pytest.fixture(scope="module")
def by_adam(stages, stage_data, settings, tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """What the serial engine makes in each mode of Adam's second moment."""
    folder = tmp_path_factory.mktemp("serial")
    return {
        adam: run_all(stages, stage_data, with_adam(settings, adam), folder / adam, "serial", 1) for adam in ADAM_MODES
    }


@pytest.fixture(scope="module")
def serial(by_adam, settings) -> dict[str, bytes]:
    return by_adam[settings["reptile"]["adam"]]


@pytest.mark.parametrize(("adam", "threads"), [("carry", 1), ("carry", 2), ("carry", 4), ("reset", 2), ("persist", 2)])
def test_workers_write_the_bytes_of_the_serial_engine_in_every_stage(
    stages, stage_data, settings, tmp_path, by_adam, adam, threads
):
    written = run_all(stages, stage_data, with_adam(settings, adam), tmp_path / "run", "workers", threads)
    for name, content in by_adam[adam].items():
        assert written[name] == content, name


@pytest.mark.parametrize("adam", ADAM_MODES)
def test_the_batched_engine_gives_the_serial_results_but_for_rounding(
    stages, stage_data, settings, tmp_path, by_adam, adam
):
    written = run_all(stages, stage_data, with_adam(settings, adam), tmp_path / "run", "batched", 1)
    assert_equal_but_for_rounding(written, by_adam[adam], 1e-4)


def test_modes_of_adam_give_different_models(by_adam):
    assert len({made["attack"] for made in by_adam.values()}) == len(ADAM_MODES)


def test_another_seed_gives_other_bytes(stages, stage_data, settings, tmp_path, serial):
    output = tmp_path / "model.safetensors"
    stages["pretrain"](
        Job("pretrain", stage_data, output, {"settings": {**settings, "engine": "serial"}, "seed": 2}, 1)
    )
    assert output.read_bytes() != serial["pretrain"]


def test_fine_tuning_from_the_glorot_mix_is_a_naive_loop(stages, stage_data, settings, serial, tmp_path):
    """Accuracy before and after one step, when all layers are mixed and Adam knows nothing of the training before."""
    # One step changes many predictions.
    settings = {**settings, "engine": "serial", "reptile": {**settings["reptile"], "inner_learning_rate": 0.03}}
    models = {"clean": "pretrain", "attacked": "attack"}
    entry = {**FINE_TUNING, "iterations": [0, 1], "delta": 0.3}
    params = {"settings": settings, "seed": 1, "client": 2, "defence": entry}
    written = {}
    for wildcard, stage in (("pretrained", "pretrain"), ("attacked", "attack")):
        (tmp_path / f"{wildcard}.safetensors").write_bytes(serial[stage])
        inputs, output = (
            {**stage_data, "model": str(tmp_path / f"{wildcard}.safetensors")},
            tmp_path / f"{wildcard}.csv",
        )
        stages["adapt"](Job("adapt", inputs, output, params, 1, wildcard))
        with output.open() as file:
            for row in csv.DictReader(file):
                written[row["model"], int(row["step"]), int(row["episode"]), row["metric"]] = float(row["value"])
    expected = {}
    for episode in range(settings["evaluation"]["episodes"]):
        # What is drawn is taken from the library: the fresh model, and the client's episodes.
        fresh = draw_fresh(settings, episode)
        for model, stage in models.items():
            trained = load(serial[stage])
            mix = {name: 0.3 * trained[name] + 0.7 * fresh[name] for name in fresh}
            for sampler in evaluated_client(stage_data, settings).samplers(inner_steps=1).values():
                for step, score in enumerate(scores_naively(mix, sampler.draw(2, episode), 0.03)):
                    expected |= {(model, step, episode, metric): value for metric, value in score.items()}
    assert written == pytest.approx(expected)
    before, after = ({key[2:]: v for key, v in expected.items() if key[:2] == ("clean", step)} for step in (0, 1))
    assert before != after


def draw_fresh(settings, episode):
    network = Conv4(1, 16, 3, filters=8)
    seed = (1, settings["evaluation"]["episode_seed"])
    return network.views(network.initial(generator(seed, "glorot mix", 2, episode)))
