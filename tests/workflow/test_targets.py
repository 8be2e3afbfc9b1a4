"""What the config asks for, and where the run times of stages go whose result was there already."""

from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT

from fedmeta.settings import with_table
from workflow.lib.code import Code
from workflow.lib.homes import Homes
from workflow.lib.jobs import Jobs
from workflow.lib.takes import Takes
from workflow.lib.targets import Targets
from workflow.lib.times import add_earlier, put_back, set_aside


@pytest.fixture
def homes() -> Homes:
    config = with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))
    config |= {"datasets": ["glyphs", "omniglot"], "figures": [3, "A8", "scenarios"], "seeds": [1, 2]}
    config["overrides"] = {"omniglot": {"evaluation": {"cases": ["a"]}}}
    config["scenarios"] = {"plain": {}, "strong": {"attack": {"boost": 5}}}
    return Homes(Jobs(config), {})


@pytest.fixture
def targets(homes: Homes) -> Targets:
    return Targets(homes.jobs, homes)


def test_tables_are_those_of_each_seed_and_scope(targets):
    scopes = {"glyphs": ["excluded", "included"], "omniglot": ["excluded"]}
    for dataset, expected in scopes.items():
        assert targets.scopes("plain", dataset, "3") == expected
        assert set(targets.paths("plain", dataset, "3")) == {
            f"results/plain/{dataset}/seed-{seed}/{scope}/evaluate/client-2.csv"
            for seed in (1, 2)
            for scope in expected
        }
    table = "results/strong/omniglot/seed-1/excluded/adapt/noisy-start-local/client-2/attacked.csv"
    assert table in targets.paths("strong", "omniglot", "A8")
    assert ["strong", "noisy-start-local"] in targets.names("strong", "omniglot", "A8")
    tables = targets.all_tables()
    assert len(tables) == len(set(tables))


def test_a_figure_that_compares_scenarios_has_the_tables_of_all(targets):
    tables = targets.tables("plain", "omniglot", "scenarios")
    assert {table.scenario for table in tables} == {"plain", "strong"}
    assert {table.scenario for table in targets.tables("plain", "omniglot", "3")} == {"plain"}


def test_figures_are_those_of_every_scenario_and_data_set(targets):
    own = [path.removeprefix("results/figures/") for path in targets.figures() if "omniglot" in path]
    assert own == [
        *("plain/omniglot/figure-3.png", "plain/omniglot/figure-A8.png", "omniglot/figure-scenarios.png"),
        *("plain/omniglot/attack-seed-1.png", "strong/omniglot/figure-3.png", "strong/omniglot/figure-A8.png"),
    ]


def test_a_name_stands_for_the_whole_grid(targets):
    sweep = targets.defences("plain", "glyphs", "delta")
    assert len(sweep) == 22
    assert all(name.startswith("sweep,norms=") for name in sweep)
    assert targets.defences("plain", "glyphs", "7") == ["matching", "fresh-network"]


def test_kernel_norms_are_of_the_models_that_figures_of_them_show(targets):
    """Figure delta shows case (a) alone, so that it asks for no model of the others."""
    run = "glyphs/seed-{}/excluded"
    assert targets.models("strong", "glyphs") == [
        path.format(seed)
        for seed in (1, 2)
        for path in (f"results/plain/{run}/pretrained.safetensors", f"results/strong/{run}/attacked.safetensors")
    ]


def test_decisions_are_of_each_run_with_its_attackers(homes, targets):
    homes.jobs.config["scenarios"]["strong"]["federation"] = {"attacker": [3, 1]}
    found = {path: run for path, run in targets.decisions() if run[2] == 1}
    run = "seed-1/excluded/attacked.decisions.csv"
    assert found[f"results/plain/omniglot/{run}"] == ["plain", "omniglot", 1, "excluded", [1]]
    assert found[f"results/strong/omniglot/{run}"] == ["strong", "omniglot", 1, "excluded", [3, 1]]


def test_a_client_adapts_the_model_after_its_own_meta_training_where_the_defence_says_so(homes):
    takes = Takes(homes.jobs, homes, Code())
    wildcards = {"dataset": "glyphs", "seed": "1", "scope": "excluded", "client": "3"}
    run = "glyphs/seed-1/excluded"

    def model(which: str, scenario: str, defence: str) -> str:
        return takes.model("adapt")({**wildcards, "scenario": scenario, "defence": defence, "model": which})

    assert model("attacked", "strong", "fine_tuning") == f"results/strong/{run}/attacked.safetensors"
    assert model("pretrained", "strong", "fine_tuning") == f"results/plain/{run}/pretrained.safetensors"
    local = model("attacked", "strong", "noisy-start-local")
    assert local == f"results/strong/{run}/repair/noisy-start-local/client-3/attacked.safetensors"
    # The same client makes the same model for another defence.
    assert model("attacked", "strong", "matching-local") == local


class TestTimes:
    LOG, TIME = "logs/pretrain/glyphs/seed-1/excluded.log", Path("logs/benchmarks/pretrain/glyphs/seed-1/excluded.tsv")

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.TIME.parent.mkdir(parents=True)

    def stage(self, computed: bool, seconds: str, earlier: float = 0.0) -> None:
        set_aside(self.LOG, computed)
        if computed:
            add_earlier(self.LOG, earlier)
        self.TIME.write_text(seconds)

    def test_the_time_of_the_run_that_computed_counts(self):
        self.stage(True, "90")
        self.stage(False, "1")
        self.stage(False, "2")
        assert list(put_back()) == [self.TIME]
        assert self.TIME.read_text() == "90"
        self.stage(False, "1")
        assert [path.read_text() for path in put_back()] == ["90"]
        self.stage(False, "1")
        self.stage(True, "80")
        assert [path.read_text() for path in put_back()] == ["80"]

    def test_the_time_of_interrupted_runs_counts_until_all_is_computed_anew(self):
        self.stage(True, "30", earlier=60)
        assert put_back() == {self.TIME: 60}
        self.stage(False, "1")
        assert put_back() == {self.TIME: 60}
        assert self.TIME.read_text() == "30"
        self.stage(True, "90")
        assert put_back() == {self.TIME: 0}

    def test_a_time_that_cannot_be_noted_is_a_warning(self, caplog):
        self.TIME.with_name(f".{self.TIME.name}.earlier").mkdir()
        add_earlier(self.LOG, 60)
        assert "the time of interrupted runs could not be noted: " in caplog.text

    def test_what_was_made_elsewhere_has_no_time(self):
        self.stage(False, "1")
        assert put_back() == {}

    def test_stages_without_a_time_and_a_folder_without_logs(self):
        set_aside("logs/aggregate.log", computed=False)
        add_earlier("logs/aggregate.log", 60)
        assert put_back(Path("nowhere")) == {}
