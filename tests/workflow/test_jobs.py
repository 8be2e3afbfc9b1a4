"""The settings of a job: of its data set, in the one way to write them; hashes of files that are read once."""

import os
import time
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT

from fedmeta.errors import FedmetaError
from workflow.lib import preflight
from workflow.lib.digests import Digests
from workflow.lib.jobs import Jobs, plain, typed, variant_of


class Wildcards(dict):
    __getattr__ = dict.__getitem__


@pytest.fixture
def config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


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


def test_overrides_count_for_their_data_set_alone(config):
    config["overrides"] = {"glyphs": {"attack": {"boost": 5.0}}}
    jobs = Jobs(config)
    assert [jobs.settings(name)["attack"]["boost"] for name in ("glyphs", "omniglot")] == [5, 3]
    assert config["attack"]["boost"] == 3
    param = jobs.take("attack.boost", "engine", "attack.meta_steps")
    assert param(Wildcards(dataset="glyphs")) == {"attack": {"boost": 5, "meta_steps": 40}, "engine": "auto"}
    assert jobs.take_each("attack.boost") == {"glyphs": {"attack": {"boost": 5}}}


def test_a_variant_of_the_defence_changes_its_own_settings(config):
    wildcards = Wildcards(dataset="glyphs", variant="matching_no_gates-0.3")
    assert variant_of(wildcards) == ("matching_no_gates", 0.3)
    assert variant_of(Wildcards(variant="plain")) == variant_of(Wildcards()) == ("", None)
    assert Jobs(config).take("matching.gates")(wildcards) == {"matching": {"gates": False}}


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
        with pytest.raises(FedmetaError, match=f"^{name} is a link to nothing: make the folder that it points to"):
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
