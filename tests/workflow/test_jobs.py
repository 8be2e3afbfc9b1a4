"""The settings of a job: of its data set, in the one way to write them; hashes of files that are read once."""

import os
import time
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT

from fedmeta.errors import FedmetaError
from fedmeta.settings import lay, with_table
from workflow.lib import preflight
from workflow.lib.digests import Digests
from workflow.lib.jobs import Jobs, Place, plain, typed
from workflow.lib.stages import CLIENTS_OWN, STAGES


@pytest.fixture
def config() -> dict:
    return with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (3.0, 3),
        (0.3, 0.3),
        (True, True),
        (None, None),
        (1e30, 1e30),
        (float("inf"), float("inf")),
        ([1.0, 0.1], [1, 0.1]),
        ([0.5, 0.1], [0.5, 0.1]),
        ({"b": 1.0, "a": {"iterations": [5, 0.0, 2]}}, {"a": {"iterations": [0, 2, 5]}, "b": 1}),
        ({"cases": ["c", "a"], "rotations": [90, 0]}, {"cases": ["a", "c"], "rotations": [90, 0]}),
    ],
)
def test_settings_have_one_way_to_be_written(written, meant):
    assert repr(plain(written)) == repr(meant)


def params(config: dict) -> dict[tuple[str, str], str]:
    """Return what every job of a config is given, as it would be recorded, by stage and defence."""
    jobs, own = Jobs(config), Place("default", "glyphs")
    places = {(stage, ""): own for stage in STAGES if stage not in CLIENTS_OWN}
    for name in jobs.own("default", "glyphs").defences:
        place = own._replace(defence=name, model="attacked")
        places |= {("adapt", name): place} | ({("repair", name): place} if jobs.repaired(place) else {})
    return {(stage, name): repr(jobs.params(stage, place)) for (stage, name), place in places.items()}


@pytest.mark.parametrize(
    "change",
    [
        {"attack": {"boost": 3.0, "inner_epochs": 6.0}},
        {"pretrain": {"outer_learning_rate": [1, 0.1]}},
        {"evaluation": {"rounds": [10, 5, 2, 1, 0], "cases": ["c", "b", "a"]}},
        {"defences": {"matching": {"iterations": [50, 40, 30, 20, 10, 5, 0], "scale": 10}}},
        {"defences": {"no-mix": {"delta": 1.0}, "fine_tuning": {"repair": None, "evaluation": {}, "delta": None}}},
        {"overrides": {"omniglot": {"attack": {"boost": 5}}}},
    ],
)
def test_what_is_only_written_otherwise_is_the_same_to_every_job(config, change):
    assert params(lay(config, change)) == params(config)


def test_defaults_left_out_and_another_order_of_keys_are_the_same_to_every_job(config):
    bare = {**config, "attack": {"method": "one_shot"}, "federation": dict(reversed(config["federation"].items()))}
    bare["defences"] = {**config["defences"], "matching": {"method": "matching"}}
    assert params(bare) == params(config)


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"attack": {"boost": 5}}, {"attack", "meta_train_after"}),
        ({"federation": {"weight": 0.5}}, {"pretrain", "attack", "meta_train_after"}),
        ({"meta_train_after": {"rounds": 12}}, {"meta_train_after"}),
        ({"evaluation": {"inner_steps": 10}}, {"evaluate"}),
        ({"evaluation": {"queries": 3}}, {"evaluate", "adapt"}),
        ({"data": {"trigger": {"size": 4}}}, {"stamp", "attack", "meta_train_after"}),
        ({"reptile": {"inner_steps": 9}}, {"pretrain", "attack", "meta_train_after", "repair"}),
    ],
)
def test_a_setting_concerns_the_jobs_that_read_it(config, change, stages):
    before, after = params(config), params(lay(config, change))
    assert {
        stage for stage, _ in before if any(before[job] != after[job] for job in before if job[0] == stage)
    } == stages


def test_an_option_of_a_defence_concerns_its_jobs_and_those_of_the_entries_like_it(config):
    before = params(config)

    def changed(change: dict) -> set[tuple[str, str]]:
        after = params(lay(config, {"defences": change}))
        return {job for job in before if before[job] != after[job]}

    assert changed({"no-gates": {"scale": 5}}) == {("adapt", "no-gates")}
    of_matching = changed({"matching": {"warm_up": 5}})
    assert ("adapt", "matching") in of_matching and ("adapt", "fresh-network") in of_matching
    assert ("adapt", "fine_tuning") not in of_matching and {stage for stage, _ in of_matching} == {"adapt"}
    longer = changed({"noisy-start-local-longer": {"repair": {"episodes": 500}}})
    assert longer == {("repair", "noisy-start-local-longer")}, "adapt reads another model, but no other setting"
    episodes = changed({"other-episodes": {"evaluation": {"episode_seed": 3}}})
    assert episodes == {("adapt", "other-episodes"), ("adapt", "other-episodes-fresh-network")}


def test_overrides_and_scenarios_count_for_themselves_alone(config):
    config["datasets"] = ["glyphs", "omniglot"]
    config["overrides"] = {"glyphs": {"attack": {"boost": 5.0}}}
    config["scenarios"] = {"plain": {}, "weak": {"attack": {"boost": 1}}}
    jobs = Jobs(config)
    boosts = [
        jobs.params("attack", Place(*each))["settings"]["attack"]["boost"]
        for each in (("plain", "glyphs"), ("plain", "omniglot"), ("weak", "glyphs"))
    ]
    assert boosts == [5, 3, 1]
    assert config["attack"]["boost"] == 3


def test_methods_and_the_files_that_options_name_are_those_of_the_stage(config):
    config["attack"] = {"method": "given", "model": "theirs.safetensors"}
    jobs, place = Jobs(config), Place("default", "glyphs", "matching-local")
    learner = "fedmeta/learning/meta/reptile.py"
    files = {stage: jobs.method_files(stage, place) for stage in ("resize", "pretrain", "attack", "repair", "adapt")}
    assert files == {
        "resize": ["fedmeta/data/readers/glyphs.py"],
        "pretrain": ["fedmeta/federation/aggregation/weighted_sum.py", learner],
        "attack": ["fedmeta/federation/aggregation/weighted_sum.py", "fedmeta/attacks/given.py", learner],
        "repair": ["fedmeta/defences/local_meta_training.py", learner],
        "adapt": ["fedmeta/defences/matching.py"],
    }
    assert jobs.option_files("attack", place) == ["theirs.safetensors"]
    assert jobs.option_files("pretrain", place) == jobs.option_files("adapt", place) == []


def test_several_repairs_are_of_one_job_and_a_list_of_one_is_that_one(config):
    local, mix = {"method": "local_meta_training", "episodes": 3}, {"method": "mix", "delta": 0}
    written = {"one": local, "same": [local], "several": [mix, local], "mixed": mix, "none": None}
    own = {name: {"method": "matching", "repair": repair} for name, repair in written.items()}
    jobs = Jobs(lay(config, {"defences": own}))
    places = {name: Place("default", "glyphs", name) for name in own}
    assert {name: jobs.repaired(place) for name, place in places.items()} == {name: name != "none" for name in own}
    params = {name: jobs.params("repair", place)["repair"] for name, place in places.items()}
    assert params["one"] == params["same"] == {**local, "outer_learning_rate": 0.1}
    assert params["several"] == [params["mixed"], params["one"]]
    methods = [f"fedmeta/defences/{name}.py" for name in ("mix", "local_meta_training")]
    methods.append("fedmeta/learning/meta/reptile.py")
    assert jobs.method_files("repair", places["several"]) == methods
    assert jobs.method_files("repair", places["one"]) == methods[1:]


def test_texts_on_the_command_line_are_read_as_yaml():
    assert typed({"a": "[1, 0.5]", "b": ["true", "x"], "c": 3}) == {"a": [1, 0.5], "b": [True, "x"], "c": 3}


class TestDigests:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def write(self, content: str, age: float) -> None:
        Path("file").write_text(content)
        os.utime("file", (time.time() - age, time.time() - age))

    def test_a_file_is_read_once_while_its_size_and_time_stay(self):
        self.write("abc", 100)
        digests = Digests("sha256")
        first = digests.of("file")
        digests.save()
        before = os.stat("file")
        Path("file").write_text("abd")
        assert Digests("sha256").of("file") != first, "another time"
        os.utime("file", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert Digests("sha256").of("file") == first, "it was not to be read"

    def test_a_young_file_is_read_each_time(self):
        self.write("abc", 0)
        digests = Digests("md5")
        first, before = digests.of("file"), os.stat("file")
        self.write("abd", 0)
        os.utime("file", ns=(before.st_atime_ns, before.st_mtime_ns))
        assert digests.of("file") != first


class TestFolders:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("name", ["results", "logs", "data", "data/prepared"])
    def test_a_link_to_nothing(self, tmp_path, name):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        os.symlink(tmp_path / "nowhere", name)
        with pytest.raises(FedmetaError, match=f"^{name} is a broken link: make the folder that it points to"):
            preflight.check_folders()
        os.mkdir("nowhere")
        preflight.check_folders()

    @pytest.mark.parametrize("name", ["results", "logs", "data", "data/prepared"])
    def test_a_file_in_the_place_of_a_folder(self, name):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        open(name, "w").close()
        with pytest.raises(FedmetaError, match=f"^{name} is a file, where a folder must be: move it away"):
            preflight.check_folders()

    def test_a_folder_that_cannot_be_written(self, monkeypatch):
        os.makedirs("results/glyphs/seed-1")
        preflight.check_folders()
        monkeypatch.setattr(os, "access", lambda path, mode: "seed-1" not in str(path))
        with pytest.raises(FedmetaError, match=r"cannot write results/glyphs/seed-1: make it writable"):
            preflight.check_folders()
        with pytest.raises(FedmetaError, match="cannot write /seed-1: make it writable"):
            preflight.check_place("/seed-1")

    def test_braces_in_the_name_of_the_folder(self):
        with pytest.raises(FedmetaError, match="has braces in its name"):
            preflight.check_place("/home/me/a{y}b")
