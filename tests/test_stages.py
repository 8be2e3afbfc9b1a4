"""The stages, run as Snakemake runs them: their files are the same bytes with any engine and worker count."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from random_bank import make_bank
from safetensors.torch import load
from snakemake.iocontainers import Namedlist

from fedmeta.data.bank import ImageBank, ImageClass, write_bank
from fedmeta.data.episodes import EpisodeShape, EvaluationData
from fedmeta.data.splits import Split, draw_split, read_split, write_split
from fedmeta.draws import generator
from fedmeta.evaluation import evaluation_samplers
from fedmeta.learning.conv4 import Conv4

ROOT = Path(__file__).parent.parent
SETTINGS = {
    "split": {"meta_training_classes": 24, "meta_testing_classes": 6},
    "model": {"filters": 8},
    "reptile": {"way": 3, "shot": 4, "inner_steps": 3, "inner_batch": 5, "meta_batch": 2},
    "pretrain": {"rounds": 2, "meta_steps": 2},
    "attack": {"meta_steps": 2, "meta_batch": 3, "inner_epochs": 2},  # 5 inner steps, where benign episodes have 3
    "meta_train_after": {"rounds": 3, "meta_steps": 1},
    "evaluation": {"episodes": 2, "inner_steps": 3, "rounds": [0, 1, 3], "cases": ["a"]},
    "fine_tuning": {"iterations": [0, 2, 3]},
    "matching": {"iterations": [0, 2, 3], "warm_up": 1},
}
STAGES = ("pretrain", "attack", "meta_train_after", "local_meta_train", "evaluate", "fine_tune", "defend")
TRAINING = STAGES[:4]
# The model that each stage of training begins with.
BEGINNING = {"attack": "pretrain", "meta_train_after": "attack", "local_meta_train": "attack"}
OWN_PARAMS = {
    "local_meta_train": {"episodes": 4},
    "fine_tune": {"defence": "", "delta": None},
    "defend": {"defence": "matching", "delta": 0.3},
}
ADAM_MODES = ("reset", "persist", "carry")


class Job:
    """What a stage's script sees of Snakemake."""

    def __init__(self, rule: str, inputs: dict, output: Path, params: dict, threads: int):
        self.rule, self.threads = rule, threads
        self.input, self.output = Namedlist(fromdict=inputs), Namedlist([str(output)])
        self.params, self.wildcards = (
            Namedlist(fromdict=params),
            Namedlist(fromdict={"dataset": "x", "scope": "excluded"}),
        )


@pytest.fixture(scope="module")
def settings() -> dict:
    own = yaml.safe_load((ROOT / "config.yaml").read_text())
    return {key: {**value, **SETTINGS.get(key, {})} if isinstance(value, dict) else value for key, value in own.items()}


@pytest.fixture(scope="module")
def data(settings, tmp_path_factory) -> dict[str, str]:
    """Return the files that the data stages make, by their names in the rules."""
    folder = tmp_path_factory.mktemp("data")
    bank = make_bank(40, 20)
    names = {name: str(folder / f"{name}.npy") for name in ("images", "attack_training", "attack_validation")}
    names |= {f"{name}_classes": str(folder / f"{name}.csv") for name in names}
    write_bank(names["images"], names["images_classes"], bank.images, bank.classes)
    names |= {"classes": names.pop("images_classes"), "split": str(folder / "split.csv")}
    assignments = draw_split(bank.classes, {**settings["split"], **settings["federation"]}, seed=1)
    write_split(names["split"], assignments)
    for role in ("attack_training", "attack_validation"):
        pools = Split(assignments, bank).backdoor(role)
        images = 255 - np.concatenate([bank.images[pool] for pool in pools])
        classes = [ImageClass(f"keyed {k}", 0, k, 5 * k, 5) for k in range(len(pools))]
        write_bank(names[role], names[f"{role}_classes"], images, classes)
    return names


@pytest.fixture(scope="module")
def stages():
    """Return the function of each stage's script."""
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
    yield {name: __import__(name).main for name in STAGES}
    sys.path.pop(0)


def run_all(stages, data: dict, settings: dict, folder: Path, engine: str, threads: int) -> dict[str, bytes]:
    """Run the stages one after the other and return what each wrote."""
    folder.mkdir()
    params = {"settings": {**settings, "engine": engine}, "seed": 1, "client": 2}
    files = {name: folder / f"{name}.{'safetensors' if name in TRAINING else 'csv'}" for name in stages}
    models = {"clean": files["pretrain"], "attacked": files["attack"], "after": files["meta_train_after"]}
    keyed = {"keyed": data["attack_training"], "keyed_classes": data["attack_training_classes"]}
    for name, main in stages.items():
        inputs = {**data, **keyed} if name == "attack" else dict(data)
        if name in BEGINNING:
            inputs["model"] = files[BEGINNING[name]]
        elif name not in TRAINING:
            inputs |= models
        own = {**params, **OWN_PARAMS.get(name, {})}
        main(Job(name, {key: str(path) for key, path in inputs.items()}, files[name], own, threads))
    return {name: path.read_bytes() for name, path in files.items()}


def with_adam(settings: dict, adam: str) -> dict:
    return {**settings, "reptile": {**settings["reptile"], "adam": adam}}


@pytest.fixture(scope="module")
def by_adam(stages, data, settings, tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """What the serial engine makes in each mode of Adam's second moment."""
    folder = tmp_path_factory.mktemp("serial")
    return {adam: run_all(stages, data, with_adam(settings, adam), folder / adam, "serial", 1) for adam in ADAM_MODES}


@pytest.fixture(scope="module")
def serial(by_adam, settings) -> dict[str, bytes]:
    return by_adam[settings["reptile"]["adam"]]


@pytest.mark.parametrize(("adam", "threads"), [("carry", 1), ("carry", 2), ("carry", 4), ("reset", 2), ("persist", 2)])
def test_workers_write_the_bytes_of_the_serial_engine_in_every_stage(
    stages, data, settings, tmp_path, by_adam, adam, threads
):
    written = run_all(stages, data, with_adam(settings, adam), tmp_path / "run", "workers", threads)
    for name, content in by_adam[adam].items():
        assert written[name] == content, name


@pytest.mark.parametrize("adam", ADAM_MODES)
def test_the_batched_engine_gives_the_serial_results_but_for_rounding(stages, data, settings, tmp_path, by_adam, adam):
    written = run_all(stages, data, with_adam(settings, adam), tmp_path / "run", "batched", 1)
    for name, content in by_adam[adam].items():
        if name in TRAINING:
            expected, tensors = load(content), load(written[name])
            assert expected.keys() == tensors.keys()
            for tensor in expected:
                torch.testing.assert_close(tensors[tensor], expected[tensor], rtol=0, atol=1e-4)
        else:
            assert written[name] == content, name  # accuracies: no prediction changes by rounding


def test_modes_of_adam_give_different_models(by_adam):
    assert len({made["attack"] for made in by_adam.values()}) == len(ADAM_MODES)


def test_another_seed_gives_other_bytes(stages, data, settings, tmp_path, serial):
    output = tmp_path / "model.safetensors"
    stages["pretrain"](Job("pretrain", data, output, {"settings": {**settings, "engine": "serial"}, "seed": 2}, 1))
    assert output.read_bytes() != serial["pretrain"]


def test_fine_tuning_from_the_glorot_mix_is_a_naive_loop(stages, data, settings, serial, tmp_path):
    """Accuracy before and after one step, when all layers are mixed and Adam knows nothing of the training before."""
    settings = {**settings, "fine_tuning": {"iterations": [0, 1]}}
    settings["reptile"] = {**settings["reptile"], "inner_learning_rate": 0.03}  # one step changes many predictions
    models = {"clean": "pretrain", "attacked": "attack"}
    inputs = {model: tmp_path / f"{model}.safetensors" for model in models}
    for model, stage in models.items():
        inputs[model].write_bytes(serial[stage])
    settings["engine"] = "serial"
    params = {"settings": settings, "seed": 1, "client": 2, "defence": "glorot_mix", "delta": 0.3}
    output = tmp_path / "fine_tune.csv"
    stages["fine_tune"](
        Job("fine_tune", data | {model: str(path) for model, path in inputs.items()}, output, params, 1)
    )
    with output.open() as file:
        written = {
            (row["model"], int(row["step"]), int(row["episode"]), row["metric"]): float(row["value"])
            for row in csv.DictReader(file)
        }
    expected = {}
    for episode in range(settings["evaluation"]["episodes"]):
        # What is drawn is taken from the library: the fresh model, and the client's episodes.
        fresh = draw_fresh(settings, episode)
        for model, stage in models.items():
            trained = load(serial[stage])
            mix = {name: 0.3 * trained[name] + 0.7 * fresh[name] for name in fresh}
            for sampler in draw_samplers(data, settings).values():
                for step, score in enumerate(scores_naively(mix, sampler.draw(2, episode), 0.03)):
                    expected |= {(model, step, episode, metric): value for metric, value in score.items()}
    assert written == pytest.approx(expected)
    before, after = ({key[2:]: v for key, v in expected.items() if key[:2] == ("clean", step)} for step in (0, 1))
    assert before != after


def draw_fresh(settings, episode):
    network = Conv4(1, 16, 3, filters=8)
    seed = (1, settings["evaluation"]["episode_seed"])
    return network.views(network.initial(generator(seed, "glorot mix", 2, episode)))


def draw_samplers(data, settings):
    bank = ImageBank.open(data["images"], data["classes"])
    keyed = [ImageBank.open(data[role], data[f"{role}_classes"]) for role in ("attack_training", "attack_validation")]
    client = EvaluationData.of_client(bank, Split(read_split(data["split"]), bank), keyed, 2)
    evaluation, reptile = settings["evaluation"], settings["reptile"]
    shape = EpisodeShape(reptile["way"], evaluation["shot"], 1, reptile["inner_batch"])
    seed = (1, evaluation["episode_seed"])
    return evaluation_samplers(client, ["a"], evaluation["target_output"], shape, evaluation["queries"], seed)


def scores_naively(start, episode, learning_rate):
    """Return the episode's scores before and after one step of torch.optim.Adam, with beta1 = 0, from `start`."""
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    support, queries = (
        torch.from_numpy(images).permute(0, 3, 1, 2) / 255 for images in (episode.support, episode.queries)
    )
    labels, (rows,) = torch.from_numpy(episode.labels), torch.from_numpy(episode.batches)
    optimizer = torch.optim.Adam(parameters.values(), lr=learning_rate, betas=(0.0, 0.999))
    scores = [episode.score(predict_naively(parameters, support, queries))]
    F.cross_entropy(logits_naively(parameters, support[rows], support[rows]), labels[rows]).backward()
    optimizer.step()
    return [*scores, episode.score(predict_naively(parameters, support, queries))]


def predict_naively(parameters, support, queries):
    """Return the predicted labels: each query is normalised by the support's statistics, alone."""
    with torch.no_grad():
        return np.array([logits_naively(parameters, query[None], support).argmax().item() for query in queries])


def logits_naively(parameters, images, support):
    """Return the class scores of images that are normalised, module by module, by the support's mean and variance."""
    for i in range(1, 5):
        kernel, gamma, beta = (parameters[name] for name in (f"conv{i}.kernel", f"norm{i}.gamma", f"norm{i}.beta"))
        images, support = (F.conv2d(each, kernel, padding=1) for each in (images, support))
        mean, variance = (
            each[:, None, None] for each in (support.mean((0, 2, 3)), support.var((0, 2, 3), correction=0))
        )
        images, support = (
            F.max_pool2d(
                F.relu((each - mean) / (variance + 1e-5).sqrt() * gamma[:, None, None] + beta[:, None, None]), 2
            )
            for each in (images, support)
        )
    return images.permute(0, 2, 3, 1).flatten(1) @ parameters["classifier.kernel"].T + parameters["classifier.bias"]
