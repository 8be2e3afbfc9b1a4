"""A stage runs again when its inputs, its config keys or its code have changed, and only then.

Snakemake's own dry runs are held against docs/caching.md after an edit of every config key and every module.
"""

import hashlib
import modulefinder
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import partial

import pytest
import yaml
from invalidation import ADDING, KEYS, MODULES, OTHER_READERS, REPORTS, RULES, Finished, documented
from test_workflow import PARTS, ROOT, TINY, copy_project, snakemake

TRAINING = {"pretrain", "attack", "meta_train_after"}
# What each rule takes from others: the arrows of docs/method.md, written down again.
TAKES_FROM = {
    "resize": [],
    "augment": ["resize"],
    "split": ["resize"],
    "stamp": ["augment", "split"],
    "contact_sheet": ["augment", "split", "stamp"],
    "pretrain": ["augment", "split"],
    "attack": ["pretrain", "stamp"],
    "meta_train_after": ["attack"],
    "evaluate": ["meta_train_after", "stamp"],
    "fine_tune": ["attack", "stamp"],
    "defend": ["attack", "stamp"],
    "aggregate": ["evaluate", "fine_tune", "defend"],
    "summary": ["aggregate"],
    "run_times": ["aggregate"],
    "paper_against_ours": ["aggregate", "run_times"],
    "figure": ["aggregate"],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    return Finished(tmp_path_factory.mktemp("finished"))


@pytest.mark.parametrize("key", KEYS)
def test_a_key_reruns_what_the_document_says(finished, key):
    expected = documented("keys")["attack.boost" if key == "overrides" else key]
    assert finished.after_key(key) == {rule: finished.jobs[rule] for rule in expected}


@pytest.mark.parametrize("path", MODULES)
def test_a_module_reruns_what_the_document_says(finished, path):
    assert finished.after_module(path) == {rule: finished.jobs[rule] for rule in documented("modules")[path]}


@pytest.mark.parametrize("path", sorted(OTHER_READERS))
def test_the_reader_of_another_data_set_reruns_nothing(finished, path):
    assert not finished.after_module(path)


def test_a_script_reruns_its_rule_and_what_follows(finished):
    assert finished.after_module("workflow/scripts/figure.py") == {"figure": 3}
    assert set(finished.after_module("workflow/scripts/evaluation_stage.py")) == REPORTS | {
        *("evaluate", "fine_tune", "defend")
    }


def test_the_document_keeps_its_promises():
    keys, modules = documented("keys"), documented("modules")
    for key, rules in keys.items():
        if key in ADDING or key.startswith(("evaluation.", "fine_tuning.", "matching.")):
            assert not rules & TRAINING, key
        if key.startswith(("data.trigger.", "attack.")):
            assert "attack" in rules, key
            assert "pretrain" not in rules, key
    for path, rules in modules.items():
        if path.startswith("fedmeta/reporting/"):
            assert rules <= REPORTS, path
        if path.startswith(("fedmeta/attacks/", "fedmeta/defences/")):
            assert "pretrain" not in rules, path
    assert keys["threads"] == keys["raw_data"] == set()
    assert all(modules.values()), "a module that no rule reaches"


def test_modules_are_those_that_python_would_import():
    """The standard library's own tracing of imports, and the flow of data written down above, give the same table."""
    reached = {rule: modules_of(rule) for rule in RULES}
    for path in MODULES:
        stale = {rule for rule in RULES if path in reached[rule]}
        for rule in RULES:  # in the order of the flow
            if stale.intersection(TAKES_FROM[rule]):
                stale.add(rule)
        assert documented("modules")[path] == stale, path


def modules_of(rule: str) -> set[str]:
    finder = modulefinder.ModuleFinder([str(ROOT / "workflow/scripts"), str(ROOT)])
    finder.run_script(str(ROOT / f"workflow/scripts/{rule}.py"))
    if rule == "resize":  # it imports the data set's reader by its name
        finder.run_script(str(ROOT / "fedmeta/data/glyphs.py"))
    files = [os.path.relpath(module.__file__, ROOT) for module in finder.modules.values() if module.__file__]
    return {file for file in files if file.startswith("fedmeta")}


def test_the_papers_numbers_are_an_input_of_their_table_alone(finished):
    path = "fedmeta/reporting/paper_numbers.csv"
    with finished.edited(path, (finished.folder / path).read_text().replace(",78,", ",79,")):
        assert finished.dry_run() == {"paper_against_ours": 1}


def test_touching_everything_reruns_nothing(finished):
    for path in sorted(finished.folder.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert not finished.dry_run()


def test_a_fresh_copy_of_the_sources_reruns_nothing(finished):
    for part in PARTS:
        source = finished.folder / part
        if source.is_dir():
            shutil.rmtree(source)
        else:
            source.unlink()
    copy_project(finished.folder)
    finished.write_config(finished.config)
    assert not finished.dry_run()


def test_comments_and_the_order_of_keys_rerun_nothing(finished):
    def backwards(value):
        return {key: backwards(value[key]) for key in reversed(value)} if isinstance(value, dict) else value

    rules = (finished.folder / "workflow/rules/learning.smk").read_text()
    with (
        finished.edited("config.yaml", "# changed\n" + yaml.safe_dump(backwards(finished.config), sort_keys=False)),
        finished.edited("Snakefile", "# changed\n" + (finished.folder / "Snakefile").read_text()),
        finished.edited("workflow/rules/learning.smk", "# changed\n" + rules),
    ):
        assert not finished.dry_run()


def test_new_content_reruns_what_is_made_from_it_however_large_the_file(finished):
    everything_after_images = {"stamp", "contact_sheet", "evaluate", "fine_tune", "defend"} | TRAINING | REPORTS
    for path, rules in {
        "data/prepared/glyphs/images.npy": everything_after_images,
        "results/glyphs/seed-1/included/pretrained.safetensors": everything_after_images
        - {"stamp", "contact_sheet", "pretrain"},
        "results/metrics.csv": REPORTS - {"aggregate"},
    }.items():
        file = finished.folder / path
        before = file.read_bytes()
        file.write_bytes(before[:-1] + b"x")  # as long as before
        assert set(finished.dry_run()) == rules
        file.write_bytes(before)
        assert not finished.dry_run()


def test_an_edit_can_be_accepted_without_running(finished):
    path = "fedmeta/learning/reptile.py"
    text = (finished.folder / path).read_text()
    with finished.edited(path, text + "\n# a comment\n"):
        assert set(finished.dry_run()) >= TRAINING
        assert snakemake(finished.folder, "--touch").returncode == 0
        assert not finished.dry_run()
    assert snakemake(finished.folder, "--touch").returncode == 0


def test_the_reason_names_the_module_and_the_value(finished):
    source = (finished.folder / "fedmeta/data/trigger.py").read_text()
    config = (finished.folder / "config.yaml").read_text()
    table = finished.folder / "results/glyphs/seed-1/excluded/evaluate/client-2.csv"
    table.rename(table.with_name("away"))
    with (
        finished.edited("fedmeta/data/trigger.py", source + "\n"),
        finished.edited("config.yaml", config.replace("rounds: 3", "rounds: 4")),
    ):
        said = why(finished.printed())
    table.with_name("away").rename(table)
    pretraining = [f"Pre-training on glyphs, seed 1, backdoor classes {scope}" for scope in ("excluded", "included")]
    assert said["rounds: 3 -> 4"] == pretraining
    assert said["fedmeta/data/trigger.py has changed"][0].startswith("Stamping the backdoor key on images of glyphs")
    assert said["not made yet"] == ["Evaluating rounds on glyphs, seed 1, excluded, client 2"]
    assert "Drawing figure 3 of glyphs" in list(said.values())[-1]
    assert sum(map(len, said.values())) == sum(finished.jobs.values()) - len({"resize", "augment", "split"})


def why(printed: str) -> dict[str, list[str]]:
    """Return what `make why` makes of a dry run: jobs by reason."""
    said = subprocess.run(
        [sys.executable, ROOT / "workflow/why.py"], input=printed, capture_output=True, text=True, check=True
    )
    jobs, reason = {}, ""
    for line in said.stdout.splitlines():
        if line.startswith("    "):
            jobs[reason].append(line.strip())
        else:
            reason = line.removesuffix(":")
            jobs[reason] = []
    return jobs


def test_why_says_when_nothing_would_run_and_fails_where_the_dry_run_did(finished):
    assert list(why(finished.printed())) == ["nothing would run: all is up to date"]
    with pytest.raises(subprocess.CalledProcessError):
        why("WorkflowError: config: no")


class TestRawData:
    """Raw files count by their content: they may be elsewhere, or not be there yet."""

    TARGETS = ("data/prepared/omniglot/resized.npy",)

    @pytest.fixture
    def raw(self, finished, tmp_path):
        """A folder with an archive and an extracted folder, from which Omniglot has been prepared."""
        raw = tmp_path / "raw"
        (raw / "omniglot/images_evaluation/Greek/character01").mkdir(parents=True)
        (raw / "omniglot/images_evaluation/Greek/character01/1.png").write_bytes(b"drawing")
        (raw / "omniglot/images_background.zip").write_bytes(b"archive")
        for name in ("resized.npy", "resized.csv"):
            path = finished.folder / "data/prepared/omniglot" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        finished.printed(*self.arguments(raw), "--touch", "--forceall", dry=False)
        assert not self.reruns(finished, raw)
        return raw

    def arguments(self, raw):
        return *self.TARGETS, "--config", f"raw_data={raw}", 'datasets=["omniglot"]'

    def reruns(self, finished, raw):
        return finished.dry_run(*self.arguments(raw))

    def test_moving_and_touching_them_reruns_nothing(self, finished, raw):
        shutil.copytree(raw, raw.with_name("moved"), copy_function=shutil.copyfile)
        shutil.rmtree(raw)
        assert not self.reruns(finished, raw.with_name("moved"))

    def test_other_content_reruns_resize(self, finished, raw):
        (raw / "omniglot/images_background.zip").write_bytes(b"Archive")
        assert set(self.reruns(finished, raw)) == {"resize"}
        (raw / "omniglot/images_background.zip").write_bytes(b"archive")
        (raw / "omniglot/images_evaluation/Greek/character01/2.png").write_bytes(b"drawing")
        assert set(self.reruns(finished, raw)) == {"resize"}

    def test_the_data_set_s_own_reader_reruns_resize(self, finished, raw):
        for path, rules in (("fedmeta/data/omniglot.py", {"resize"}), ("fedmeta/data/glyphs.py", set())):
            with finished.edited(path, (finished.folder / path).read_text() + "\nedited = True\n"):
                assert set(self.reruns(finished, raw)) == rules

    def test_downloading_them_reruns_nothing(self, finished, raw):
        """What is missing counts as what would be downloaded."""
        from torchvision.datasets import Omniglot

        rules = (finished.folder / "workflow/rules/raw_data.smk").read_text()
        for name, published in Omniglot.zips_md5.items():
            assert f'"{name}.zip": "{published}"' in rules
            rules = rules.replace(published, hashlib.md5(name.encode()).hexdigest())
        with finished.edited("workflow/rules/raw_data.smk", rules):
            finished.printed(*self.arguments(raw / "empty"), "--touch", "--forceall", dry=False)
            (raw / "empty/omniglot").mkdir(parents=True)
            for name in Omniglot.zips_md5:
                (raw / f"empty/omniglot/{name}.zip").write_bytes(name.encode())
            assert not self.reruns(finished, raw / "empty")


class TestLocalRawData:
    """Files that users put there count by names, sizes, and checksums in an archive's list, not all being read."""

    @pytest.fixture(params=["mini_imagenet", "image_folder"])
    def dataset(self, request):
        return request.param

    @pytest.fixture
    def raw(self, finished, tmp_path, dataset):
        """A folder from which the data set has been prepared."""
        raw = tmp_path / "raw"
        for path in ("extra/n01/1.JPEG", "n01/1.jpg"):
            (raw / dataset / path).parent.mkdir(parents=True)
            (raw / dataset / path).write_bytes(b"picture")
        if dataset == "mini_imagenet":
            self.write_zip(raw, b"content")
            (raw / dataset / "train.csv").write_text("filename,label\n")
        for name in ("resized.npy", "resized.csv"):
            path = finished.folder / f"data/prepared/{dataset}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        finished.printed(*self.arguments(raw, dataset), "--touch", "--forceall", dry=False)
        assert not finished.dry_run(*self.arguments(raw, dataset))
        return raw

    def arguments(self, raw, dataset):
        target = f"data/prepared/{dataset}/resized.npy"
        return target, "--config", f"raw_data={raw}", f'datasets=["{dataset}"]'

    def write_zip(self, raw, content):
        with zipfile.ZipFile(raw / "mini_imagenet/images.zip", "w") as file:
            file.writestr("images/n0100000001.jpg", content)

    def test_moving_and_renaming_the_folder_and_notes_in_it_rerun_nothing(self, finished, raw, dataset):
        moved = raw.with_name("moved")
        shutil.copytree(raw / dataset, moved / dataset.replace("_", "-"), copy_function=shutil.copyfile)
        for path in ("README.txt", ".hidden.jpg", "n01/notes"):
            (moved / dataset.replace("_", "-") / path).write_text("note")
        shutil.rmtree(raw)
        assert not finished.dry_run(*self.arguments(moved, dataset))

    def test_other_content_reruns_resize(self, finished, raw, dataset):
        def reruns():
            return set(finished.dry_run(*self.arguments(raw, dataset)))

        (raw / dataset / "n01/1.jpg").write_bytes(b"other picture")
        assert reruns() == {"resize"}
        (raw / dataset / "n01/1.jpg").write_bytes(b"picture")
        assert not reruns()
        (raw / dataset / "n01/1.jpg").rename(raw / dataset / "n01/2.jpg")
        assert reruns() == {"resize"}
        (raw / dataset / "n01/2.jpg").rename(raw / dataset / "n01/1.jpg")
        (raw / dataset / "extra/n01/2.JPEG").write_bytes(b"picture")
        assert reruns() == ({"resize"} if dataset == "mini_imagenet" else set())  # too deep to be an image of a class

    @pytest.mark.parametrize("dataset", ["mini_imagenet"])
    def test_another_archive_or_list_or_pickle_reruns_resize(self, finished, raw, dataset):
        reruns = partial(finished.dry_run, *self.arguments(raw, dataset))
        self.write_zip(raw, b"Content")  # as long as before
        assert set(reruns()) == {"resize"}
        self.write_zip(raw, b"content")
        assert not reruns()
        for name, before, after in (("train.csv", "filename,label\n", "filename,Label\n"), ("cache.pkl", "", "x")):
            (raw / dataset / name).write_text(after)
            assert set(reruns()) == {"resize"}
            (raw / dataset / name).write_text(before)
        (raw / dataset / "cache.pkl").unlink()
        assert not reruns()

    def test_missing_files_are_one_line_before_anything_is_unmade(self, finished, raw, dataset):
        text = finished.printed(*self.arguments(raw / "empty", dataset), dry=False)
        expected = {
            "mini_imagenet": "mini-ImageNet is not in .*mini_imagenet",
            "image_folder": "holds no class folders",
        }
        assert re.search(expected[dataset], text)
        assert "Traceback" not in text
        assert (finished.folder / f"data/prepared/{dataset}/resized.npy").read_text() == "resized.npy"


@pytest.mark.slow
def test_a_second_working_copy_takes_data_and_models_from_the_first(tmp_path, monkeypatch):
    targets = [f"results/glyphs/seed-1/{scope}/pretrained.safetensors" for scope in ("excluded", "included")]
    alone = copy_project(tmp_path / "alone")
    assert snakemake(alone, *targets, *TINY).returncode == 0

    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(cache))
    first, second = copy_project(tmp_path / "first"), copy_project(tmp_path / "second")
    run = snakemake(first, *targets, "--cache", *TINY)
    assert run.returncode == 0, run.stderr
    made = {path: path.read_bytes() for path in cache.iterdir()}
    run = snakemake(second, *targets, "--cache", *TINY, "--config", "threads=1", "raw_data=elsewhere")
    assert run.returncode == 0, run.stderr
    assert {path: path.read_bytes() for path in cache.iterdir()} == made
    assert not list((second / "logs").rglob("pretrain/**/*.log")), "it has trained"
    for path in ["data/prepared/glyphs/images.npy", "data/prepared/glyphs/seed-1/split.csv", *targets]:
        assert (first / path).is_symlink()
        assert (alone / path).read_bytes() == (first / path).read_bytes() == (second / path).read_bytes()

    for folder in (first, second):  # with and without the cache, nothing is left to do
        assert "Nothing to be done" in snakemake(folder, *targets, *TINY).stderr
        assert "Nothing to be done" in snakemake(folder, *targets, "--cache", *TINY).stderr
    run = snakemake(second, targets[0], "--cache", "--dry-run", *TINY, "--config", 'pretrain={"rounds": 4}')
    assert "pretrain" in run.stdout + run.stderr
