"""What the config asks for, and where the run times of stages go whose result was there already."""

from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT

from workflow.lib.jobs import Jobs
from workflow.lib.targets import Targets, model_of, scopes_of
from workflow.lib.times import put_back, set_aside


@pytest.fixture
def targets() -> Targets:
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config |= {"datasets": ["glyphs", "omniglot"], "figures": [3, "A8"], "seeds": [1, 2]}
    config["overrides"] = {"omniglot": {"evaluation": {"cases": ["a"]}}}
    return Targets(Jobs(config))


def test_tables_are_those_of_each_seed_and_scope(targets):
    scopes = {"glyphs": ("excluded", "included"), "omniglot": ("excluded",)}
    for dataset, expected in scopes.items():
        assert set(targets.tables_of(dataset, "3")) == {
            f"results/{dataset}/seed-{seed}/{scope}/evaluate/client-2.csv" for seed in (1, 2) for scope in expected
        }
    table = "results/omniglot/seed-1/excluded/fine_tune/glorot_mix_local_100-0.3/client-2.csv"
    assert table in targets.tables_of("omniglot", "A8")
    assert len(targets.metrics_tables()) == len(set(targets.metrics_tables())) == 2 * (4 + 2)


def test_figures_are_those_of_every_data_set(targets):
    folder = "results/figures/omniglot"
    own = [path for path in targets.figures() if path.startswith(folder)]
    assert own == [f"{folder}/figure-3.png", f"{folder}/figure-A8.png", f"{folder}/attack-seed-1.png"]
    assert scopes_of("3", targets.jobs.settings("omniglot")) == ["excluded"]


def test_a_client_adapts_the_model_after_its_own_meta_training_where_the_variant_says_so():
    wildcards = {"dataset": "glyphs", "seed": "1", "scope": "excluded", "client": "3"}
    run = "results/glyphs/seed-1/excluded"
    assert model_of({**wildcards, "variant": "plain"}, "attacked") == f"{run}/attacked.safetensors"
    local = model_of({**wildcards, "variant": "matching_local_10-0.3"}, "pretrained")
    assert local == f"{run}/local-10/client-3/pretrained.safetensors"


class TestTimes:
    LOG, TIME = "logs/pretrain/glyphs/seed-1/excluded.log", Path("logs/benchmarks/pretrain/glyphs/seed-1/excluded.tsv")

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        self.TIME.parent.mkdir(parents=True)

    def stage(self, computed: bool, seconds: str) -> None:
        set_aside(self.LOG, computed)
        self.TIME.write_text(seconds)

    def test_the_time_of_the_run_that_computed_counts(self):
        self.stage(True, "90")
        self.stage(False, "1")
        self.stage(False, "2")
        assert put_back() == [self.TIME]
        assert self.TIME.read_text() == "90"
        self.stage(False, "1")
        assert [path.read_text() for path in put_back()] == ["90"]
        self.stage(False, "1")
        self.stage(True, "80")
        assert [path.read_text() for path in put_back()] == ["80"]

    def test_what_was_made_elsewhere_has_no_time(self):
        self.stage(False, "1")
        assert put_back() == []

    def test_stages_without_a_time_and_a_folder_without_logs(self):
        set_aside("logs/aggregate.log", computed=False)
        assert put_back(Path("nowhere")) == []
