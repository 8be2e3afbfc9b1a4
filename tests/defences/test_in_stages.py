"""Every method of the package in the stages that run it, on random models, with both kinds of batch norm."""

import csv
import re

import pytest
import yaml
from helpers.model_files import write_random_model
from helpers.project import ROOT
from helpers.setups import default_config
from helpers.stage_runs import Job
from safetensors.torch import load_file

from fedmeta import plugins
from fedmeta.learning.conv4 import Conv4
from fedmeta.settings import check, for_dataset, lay, with_table

# Options that are other than the defaults, to be short.
SHORT = {
    "fine_tuning": {"iterations": [0, 2]},
    "matching": {"iterations": [0, 3], "warm_up": 1},
    "simple_tuning": {"iterations": [0, 2]},
    "sharpness_aware": {"iterations": [0, 2]},
    "neural_attention_distillation": {"iterations": [0, 3], "teacher": 2},
    "mix": {"delta": [1, 1, 1, 0]},
    "local_meta_training": {"episodes": 2},
    "fine_pruning": {"modules": "all"},
    "channel_lipschitz": {"deviations": 1},
}
MIXES = [
    ("fine_tuning", [1, 1, 0, 0, 1]),
    ("matching", [1, 1, 0, 0]),
    ("prototypes", 0.3),
    ("prototypes", [1, 0, 0, 0]),
    ("sharpness_aware", [1, 1, 0, 0]),
]
DECLARED = {name: plugins.declared(plugins.source_of("defence", name)) for name in plugins.names("defence")}
ADAPTING = [name for name in DECLARED if "learner" in DECLARED[name]]
REPAIRING = [name for name in DECLARED if "repair" in DECLARED[name]]
MODES = pytest.mark.parametrize("batch_norm", ["batch", "running"])


@pytest.fixture
def run(stages, stage_data, settings, tmp_path, batch_norm):
    """Run a stage on the random models of a clean and an attacked federation, and return what it wrote."""
    network = Conv4(1, 16, 3, 8, batch_norm)
    model = write_random_model(tmp_path / "attacked.x", network, 1)
    own = {**settings, "engine": "serial", "model": {"filters": 8, "batch_norm": batch_norm}}
    params = {"settings": own, "seed": 1, "client": 2}

    def run(stage, **entry):
        output = tmp_path / ("model.safetensors" if stage == "repair" else "table.csv")
        stages[stage](Job(stage, {**stage_data, "model": model}, output, {**params, **entry}, 1))
        return output

    return run


def test_the_defences_that_the_documentation_shows_are_right():
    text = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    (shown,) = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "alone:" in block]
    config = lay(with_table(default_config()), yaml.safe_load(shown))
    check(config)
    repairs = for_dataset(config, "glyphs").defences["alone"].repairs.values()
    pretrain = default_config()["pretrain"]
    assert [each.method for each in repairs] == ["mix", "local_meta_training"]
    *_, local = repairs
    assert local.episodes == pretrain["rounds"] * pretrain["meta_steps"] * default_config()["reptile"]["meta_batch"]
    assert list(local.outer_learning_rate) == pretrain["outer_learning_rate"]


def entry_of(name, **options):
    return {"method": name, **SHORT.get(name, {}), **options}


def check_table(path, entry, delta):
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["experiment"] for row in rows} == {entry["method"]}
    assert {int(row["step"]) for row in rows} == set(plugins.options("defence", entry).iterations)
    assert {row["model"] for row in rows} == {"attacked"}
    assert all(0 <= float(row["value"]) <= 1 for row in rows)
    assert {row["delta"] for row in rows} == {delta}


@MODES
@pytest.mark.parametrize("name", ADAPTING)
def test_a_client_adapts(run, name):
    entry = entry_of(name)
    check_table(run("adapt", defence=entry), entry, "0.3" if name == "matching" else "")


@pytest.mark.parametrize("batch_norm", ["running"])
@pytest.mark.parametrize(("name", "delta"), MIXES)
def test_a_list_of_deltas_leaves_the_column_delta_empty(run, name, delta):
    entry = entry_of(name, delta=delta)
    check_table(run("adapt", defence=entry), entry, "" if isinstance(delta, list) else str(delta))


@MODES
@pytest.mark.parametrize("name", REPAIRING)
def test_a_client_repairs_its_model(run, tmp_path, name):
    after = load_file(run("repair", repair=entry_of(name)))
    before = load_file(tmp_path / "attacked.x")
    own = {each for each in before if not each.startswith("user-3.")}
    adam = {each for each in own if each.startswith("user-2.")}
    assert after.keys() == (own - adam if name == "mix" else own)
    assert any(not before[each].equal(after[each]) for each in own - adam)


@MODES
def test_repairs_make_a_product_with_each_other_and_with_a_mix(run, tmp_path):
    entries = [entry_of(name) for name in ("mix", "fine_pruning", "local_meta_training")]
    after = load_file(run("repair", repair=entries))
    cut = (after["norm4.gamma"] == 0) & (after["norm4.beta"] == 0)
    assert cut.sum() == 4, "meta-training leaves cut off what was"
