"""The arena at toy scale: attackers, servers and users of config/arena.yaml, from raw images to its two figures."""

import pandas as pd
import pytest
import yaml
from helpers.project import ROOT
from helpers.tiniest import TINIEST, call, make_project
from PIL import Image
from snakemake.utils import update_config

pytestmark = pytest.mark.slow

ATTACKS = ("boosted", "kernel_inflation", "norm_bounded")
SERVERS = ("weighted_sum", "median", "flame")
USERS = ("undefended", "mix", "two-modules")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("arena") / "project")
    arena = yaml.safe_load((ROOT / "config/arena.yaml").read_text())
    toy = {
        **arena,
        "scenarios": {name: arena["scenarios"][name] for name in ATTACKS},
        "grid": {"federation.aggregation.method": list(SERVERS)},
        "defences": {name: {**arena["defences"][name], "iterations": [0, 1], "warm_up": 1} for name in USERS},
        "figure_table": {name: {**entry, "defences": list(USERS)} for name, entry in arena["figure_table"].items()},
    }
    update_config(toy, {key: value for key, value in TINIEST.items() if key != "figures"})
    toy["federation"] = {"users": 6, "selected": 5, "attacker": 1}
    toy["split"] = {"meta_training_classes": 25, "meta_testing_classes": 6}
    (folder / "toy.yaml").write_text(yaml.safe_dump(toy))
    run = call(folder, "", "--configfile", "toy.yaml")
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def test_both_figures_are_drawn(project):
    for name in ("arena", "frontier"):
        with Image.open(project / f"results/figures/omniglot/figure-{name}.png") as image:
            assert image.size[0] == 1400


def test_every_attack_meets_every_server_and_user(project):
    table = pd.read_csv(project / "results/tables/comparison.csv")
    cells = set(zip(table.scenario, table.defence, strict=True))
    assert cells == {(f"{attack},method={server}", user) for attack in ATTACKS for server in SERVERS for user in USERS}


def test_the_servers_differ_and_pre_training_is_shared_between_attacks(project):
    models = {path.read_bytes() for path in project.glob("results/*/omniglot/seed-1/excluded/pretrained.safetensors")}
    assert len(models) == len(SERVERS)
    decisions = pd.read_csv(project / "results/tables/aggregation.csv")
    assert set(decisions.scenario) == {f"{attack},method={server}" for attack in ATTACKS for server in SERVERS}
    rejections = pd.read_csv(project / "results/tables/rejections.csv")
    assert len(rejections)
