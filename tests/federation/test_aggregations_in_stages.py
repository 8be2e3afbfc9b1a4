"""Every aggregation of the package takes a model through pre-training, the attacked round and those after it."""

import csv

import pytest
import torch
from helpers.aggregations import CHOOSING, ROBUST
from helpers.stage_runs import Job, make_data
from safetensors.torch import load_file

from fedmeta import plugins

STATES = {"centred_clipping": {"centre"}, "foolsgold": {f"history-{user}" for user in range(1, 7)}}


@pytest.fixture(scope="module")
def own_settings(settings):
    """Five of six users a round, as many as Krum needs; user 1 attacks, with an update far from the others."""
    federation = {**settings["federation"], "users": 6, "selected": 5}
    return {**settings, "engine": "serial", "federation": federation, "attack": {**settings["attack"], "boost": 100}}


@pytest.fixture(scope="module")
def data(own_settings, tmp_path_factory):
    files = make_data(own_settings, tmp_path_factory.mktemp("data"))
    return {**files, "keyed": files["attack_training"], "keyed_classes": files["attack_training_classes"]}


@pytest.mark.parametrize("method", plugins.names("aggregation"))
def test_every_method_takes_a_model_through_all_stages(stages, data, own_settings, tmp_path, method):
    options = {"before": ["nearest_neighbour_mixing", "clipping"]} if method == "median" else {}
    aggregation = plugins.options("aggregation", {"method": method, **options}).model_dump(mode="json")
    own = {**own_settings, "federation": {**own_settings["federation"], "aggregation": aggregation}}
    model, decisions = {}, {}
    for name in ("pretrain", "attack", "meta_train_after"):
        output = tmp_path / f"{name}.safetensors"
        stages[name](Job(name, {**data, **model}, output, {"settings": own, "seed": 1}, 1))
        model = {"model": str(output)}
        decisions[name] = list(csv.DictReader(output.with_suffix(".decisions.csv").open()))
    state = {name: tensor for name, tensor in load_file(output).items() if name.startswith("round-3/aggregation.")}
    assert {name.removeprefix("round-3/aggregation.") for name in state} == STATES.get(method, set())
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())

    weights = {int(row["user"]): float(row["weight"]) for row in decisions["attack"]}
    assert len(weights) == 5 and 1 in weights
    if method in CHOOSING:
        assert weights[1] == 0
    elif method in (*ROBUST, "norm_clipping"):
        assert weights[1] < 0.1 < max(weights.values())
    assert all(float(row["weight"]) >= 0 for rows in decisions.values() for row in rows)
