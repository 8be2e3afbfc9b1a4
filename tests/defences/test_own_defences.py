"""The defences that docs/extending.md shows, in files of the user's own, and what is wrong with others."""

import csv
import re

import pytest
import torch
from helpers.stage_runs import ROOT, Job, evaluated_client, run_all, with_adam
from safetensors.torch import load_file

from fedmeta.defences import fine_tuning
from fedmeta.defences.interface import Rates, load_method, repaired
from fedmeta.draws import generator
from fedmeta.errors import FedmetaError
from fedmeta.evaluation.experiments import load_model
from fedmeta.learning.engine import Start


@pytest.fixture
def own_file(tmp_path):
    """Write a file that the guide shows, and return its path."""

    def write(name):
        guide = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
        code = re.search(rf"`{name}`:\n\n```python\n(.*?)```", guide, re.DOTALL)[1]
        assert len(code.splitlines()) < 40
        (tmp_path / name).write_text(code, encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="module")
def inputs(stages, stage_data, settings, tmp_path_factory):
    """What a client's stages read."""
    folder = tmp_path_factory.mktemp("models") / "run"
    run_all(stages, stage_data, settings, folder, "serial", 1)
    return {**stage_data, "model": str(folder / "attack.safetensors")}


def adapt(stages, inputs, settings, entry, output):
    params = {"settings": {**settings, "engine": "serial"}, "seed": 1, "client": 2, "defence": entry}
    stages["adapt"](Job("adapt", inputs, output, params, 1))
    with output.open() as file:
        return list(csv.DictReader(file))


def test_without_noise_the_guides_adaptation_is_fine_tuning(own_file, stages, inputs, settings, tmp_path):
    """All but the column `experiment`, which is the method's name; with noise it is another one."""
    own = own_file("noise.py")
    usual = {"method": "fine_tuning", "iterations": [0, 3], "delta": 1.0}  # a mix of nothing but the model
    tables = [
        adapt(stages, inputs, settings, entry, tmp_path / f"{k}.csv")
        for k, entry in enumerate((usual, {"method": own, "iterations": [0, 3], "deviation": 0.0}, {"method": own}))
    ]
    assert {row["experiment"] for row in tables[1]} == {"noise"}
    values = [[row["value"] for row in table if row["step"] in ("0", "3")] for table in tables[:2]]
    assert values[0] == values[1]
    assert max(int(row["step"]) for row in tables[2]) == 50
    before = [[row["value"] for row in table if row["step"] == "0"] for table in tables[1:]]
    assert before[0] != before[1]


def test_the_guides_repair_cuts_off_the_features_that_are_least_active(own_file, stages, inputs, settings, tmp_path):
    output = tmp_path / "repaired.safetensors"
    entry = {"method": own_file("prune.py"), "share": 0.25}
    params = {"settings": {**settings, "engine": "serial"}, "seed": 1, "client": 2, "repair": entry}
    stages["repair"](Job("repair", inputs, output, params, 1))
    before, after = load_file(inputs["model"]), load_file(output)
    changed = [name for name in after if not torch.equal(before[name], after[name])]
    assert changed == ["classifier.kernel"]
    cut = (after["classifier.kernel"] == 0).all(0)
    assert cut.float().mean() == 0.25
    assert torch.equal(after["classifier.kernel"][:, ~cut], before["classifier.kernel"][:, ~cut])
    assert {name for name in after if name.startswith("user-")} <= {"user-2.second_moment", "user-2.taken"}


def test_a_method_is_used_for_what_it_does():
    for entry, what in (({"method": "local_meta_training"}, "learner"), ({"method": "matching"}, "repair")):
        with pytest.raises(FedmetaError, match=f"{entry['method']} has no {what}"):
            load_method(entry, what)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda model: None, "returns no model"),
        (lambda model: model.parameters, "returns no model"),
        (lambda model: model._replace(parameters=model.parameters[1:]), "returns no model"),
        (lambda model: model._replace(parameters=model.parameters / 0), "NaN or infinity"),
    ],
)
def test_what_a_repair_returns_is_checked(network, result, message):
    model = Start.fresh(network.initial(generator(1, "test")))
    options = type("Options", (), {"method": "./own.py"})
    with pytest.raises(FedmetaError, match=rf"repair of \./own\.py .*{message}"):
        repaired(lambda model, client, options: result(model), model, None, options)


@pytest.mark.parametrize(
    ("adam", "delta", "kept"), [("carry", None, True), ("carry", 0.3, False), ("reset", None, False)]
)
def test_only_fine_tuning_of_the_model_itself_goes_on_with_the_clients_adam_state(
    stage_data, inputs, settings, adam, delta, kept
):
    client = evaluated_client(stage_data, with_adam(settings, adam))
    options = fine_tuning.Options(method="fine_tuning", delta=delta)
    learner = fine_tuning.learner(client.network, options, Rates(1e-3, 0.999), client.seeds)
    start = load_model(client, inputs["model"], learner=learner)
    state = load_file(inputs["model"])
    assert int(state["user-2.taken"]) > 0
    assert start.taken == (int(state["user-2.taken"]) if kept else 0)
    assert torch.equal(start.second_moment, state["user-2.second_moment"]) == kept
