"""A data set of one's own: a reader in a file outside the package, written by docs/extending.md alone."""

import importlib
import os
import textwrap

import numpy as np
import pytest
from helpers.own_reader import READER
from helpers.random_bank import make_bank
from helpers.stage_runs import ROOT, Job
from snakemake.iocontainers import Namedlist

from fedmeta import plugins
from fedmeta.data.bank import ImageBank
from fedmeta.data.datasets import folder_of, read
from fedmeta.data.raw_images import SUFFIXES
from fedmeta.errors import FedmetaError
from workflow.lib.raw_data import RawData
from workflow.lib.readers import constants_of

IMPORTS = """
import numpy as np
from fedmeta.data.bank import ImageClass
from fedmeta.data.raw_images import RawClass, read_classes
grey = np.zeros((8, 8, 1), np.uint8)
table = [ImageClass("a", 0, 0, 0, 2), ImageClass("b", 0, 1, 2, 1)]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the reader `drawings.py`, and raw files of two classes, where a user would have them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drawings.py").write_text(READER)
    raw = tmp_path / "data/raw/drawings"
    raw.mkdir(parents=True)
    random = np.random.default_rng(1)
    drawings = {name: random.integers(0, 256, (n, 32, 32), np.uint8) for name, n in (("round", 3), ("angled", 2))}
    np.savez(raw / "drawings.npz", **drawings)
    return tmp_path, drawings


def reader_of(folder, body, imports=IMPORTS):
    """Write `own.py` with the lines of `read`, and a raw file for it; return its name in the config."""
    (folder / "own.py").write_text(f"{imports}\ndef read(folder, size):\n{textwrap.indent(body, '    ')}\n")
    (folder / "data/raw/own").mkdir(exist_ok=True)
    (folder / "data/raw/own/file").write_text("raw")
    return "./own.py"


def read_all(folder, name, size=8):
    images, classes = read(name, folder / "data/raw", size)
    return list(images), classes


def test_a_reader_of_one_s_own_is_under_40_lines_and_becomes_a_bank(project, monkeypatch):
    folder, drawings = project
    assert len(READER.splitlines()) < 40
    assert plugins.stem("./drawings.py") == "drawings", "its name in paths, and that of its raw folder"
    output = {"images": str(folder / "resized.npy"), "classes": str(folder / "resized.csv")}
    job = Job("resize", {}, folder, {"reader": "./drawings.py", "settings": {"data": {"size": 16}}}, 1)
    job.output, job.config = Namedlist(fromdict=output), {"raw_data": "data/raw"}
    monkeypatch.syspath_prepend(ROOT / "workflow/scripts")
    importlib.import_module("resize").main(job)
    bank = ImageBank.open(**{f"{kind}_path": path for kind, path in output.items()})
    assert [(c.name, c.examples) for c in bank.classes] == [("round", 3), ("angled", 2)]
    means = [255 - drawings[name].reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)) for name in ("round", "angled")]
    assert np.abs(bank.images[..., 0] - np.concatenate(means)).max() <= 1


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return 1 / 0", "line 9: ZeroDivisionError: division by zero: fix the reader"),
        ("return open(folder / 'nothing').read()", "line 9: FileNotFoundError: "),
        ("return [grey], []", "read returns no classes"),
        ("return [grey, grey, grey]", "read does not return images and a list of classes"),
        ("return None", "read does not return images"),
        ("yield grey", "read does not return images"),
        ("return 3, table", "TypeError: 'int' object is not iterable: fix the reader"),
        ("return [grey] * 3, ['a', 'b', 'c']", "class 0 is not an ImageClass named by a string"),
        ("return [grey] * 3, [table[0]._replace(name=4)]", "class 0 is not an ImageClass named by a string"),
        ("return [grey] * 3, [table[0], table[1]._replace(name='a')]", "two classes are named 'a'"),
        ("return [grey] * 3, [table[0], table[1]._replace(name='')]", "has a class named ''"),
        ("return [grey] * 3, table[::-1]", "class 'b' does not follow the previous one"),
        ("return [grey] * 3, [table[0], table[1]._replace(rotation=90)]", "class 'b' does not follow"),
        ("return read_classes([RawClass('a', [])], 'own')", "class 'a' has no images of its own"),
        ("return [grey] * 2, table", "class 'b' has 0 images, its table says 1"),
        ("return [grey] * 4, table", "read returns more images than its classes have"),
        ("return [grey[..., 0]] * 3, table", r"image 0 of class 'a' is uint8 (8, 8): make it uint8 (8, 8, 1) or "),
        ("return [grey, grey[:4], grey], table", r"image 1 of class 'a' is uint8 (4, 8, 1)"),
        ("return [grey / 255] * 3, table", "image 0 of class 'a' is float64 (8, 8, 1)"),
        ("return [grey, grey, 7], table", "image 0 of class 'b' is int: make it uint8 (8, 8, 1)"),
        ("return [grey, grey.repeat(3, -1), grey], table", "image 1 of class 'a' is uint8 (8, 8, 3)"),
        ("return (1 // 0 for _ in table), table", "line 9: ZeroDivisionError: "),
        ("return read_classes([RawClass('a', [lambda: 1 // 0])], 'own')", "line 9: ZeroDivisionError: "),
    ],
)
def test_a_mistake_of_a_reader_is_one_line_that_names_its_file(project, body, problem):
    folder, _ = project
    name = reader_of(folder, body)
    with pytest.raises(FedmetaError) as raised:
        read_all(folder, name)
    assert str(raised.value).startswith("own.py") and problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_reader_without_the_two_arguments_or_that_cannot_be_imported_is_one_line(project):
    folder, _ = project
    reader_of(folder, "return 1", "import nothing_of_this_name")
    with pytest.raises(FedmetaError, match=r"own\.py cannot be imported: ModuleNotFoundError"):
        read("./own.py", folder / "data/raw", 8)
    (folder / "own.py").write_text("def read(folder):\n    return 1\n")
    with pytest.raises(FedmetaError, match=r"own\.py: TypeError: read\(\) takes 1 positional argument but 2 were"):
        read("./own.py", folder / "data/raw", 8)
    (folder / "own.py").write_text("def reads(folder, size):\n    return 1\n")
    with pytest.raises(FedmetaError, match=r"the reader file .*own\.py has no read"):
        read("./own.py", folder / "data/raw", 8)
    with pytest.raises(FedmetaError, match="there is no reader called 'omniglott'; did you mean 'omniglot'"):
        read("omniglott", folder / "data/raw", 8)


def test_a_reader_s_own_message_and_the_package_s_bugs_stay_as_they_are(project, monkeypatch):
    folder, _ = project
    (folder / "data/raw/drawings/drawings.npz").unlink()
    with pytest.raises(FedmetaError, match=r"^[^:]*drawings\.npz is missing: copy it there$"):
        RawData(folder / "data/raw").require("./drawings.py", 8)
    monkeypatch.setattr("fedmeta.data.readers.glyphs.render_glyphs", lambda size: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        read("glyphs", folder / "data/raw", 8)


def test_raw_files_that_nobody_has_put_there_are_one_line(project):
    folder, _ = project
    raw = RawData(folder / "data/raw")
    name = reader_of(folder, "return read_classes([RawClass('a', [grey.copy])], 'own')")
    raw.require(name, 8)
    (folder / "data/raw/own/file").unlink()
    with pytest.raises(FedmetaError, match=r"own holds no raw files: put them there, or write PUBLISHED = \{\} in"):
        RawData(folder / "data/raw").require(name, 8)
    (folder / "own.py").write_text("PUBLISHED = {}\n" + (folder / "own.py").read_text())
    raw = RawData(folder / "data/raw")
    raw.require(name, 8)
    assert raw.contents(name) == {} and raw.missing(name) == []


class TestContents:
    """Raw files of a reader of one's own count, all of them where it does not say which."""

    @pytest.fixture
    def raw(self, project):
        folder, _ = project
        self.name = reader_of(folder, "return [grey] * 3, table")
        (folder / "data/raw/own/deep/er").mkdir(parents=True)
        (folder / "data/raw/own/deep/er/a.npy").write_bytes(b"content")
        return folder / "data/raw"

    def contents(self, raw):
        return RawData(raw).contents(self.name)

    def declare(self, raw, *lines):
        own = raw.parents[1] / "own.py"
        own.write_text("\n".join([*lines, own.read_text()]))

    def test_every_file_counts_by_its_path_and_content(self, raw):
        seen = [self.contents(raw)]
        (raw / "own/deep/er/a.npy").write_bytes(b"Content")
        seen.append(self.contents(raw))
        (raw / "own/deep/er/a.npy").rename(raw / "own/deep/er/b")
        seen.append(self.contents(raw))
        assert len({str(each) for each in seen}) == 3
        (raw / "own/.hidden").write_bytes(b"Content")
        assert self.contents(raw) == seen[-1]
        (raw / "own").rename(raw / "elsewhere")
        (raw / "own").symlink_to("elsewhere")
        assert self.contents(raw) == seen[-1]

    def test_only_what_the_reader_names_counts(self, raw):
        self.declare(raw, 'FILES = (".npy",)', "DEPTH = 2")
        before = self.contents(raw)
        assert before == {}, "a.npy is too deep"
        (raw / "own/deep/B.NPY").write_bytes(b"content")
        after = self.contents(raw)
        assert after != before
        (raw / "own/notes.txt").write_text("note")
        assert self.contents(raw) == after

    def test_large_files_count_by_their_size_and_ends(self, raw):
        self.declare(raw, 'LARGE = (".bin",)', 'FILES = (".bin",)')
        content = bytearray(17_000_000)
        seen = []
        for place in (0, 8_500_000, -1):
            content[place] = 1
            (raw / "own/a.bin").write_bytes(content)
            seen.append(str(self.contents(raw)))
        assert seen[0] == seen[1] != seen[2]

    @pytest.mark.parametrize("link", ["own/a.npy", "own/deep/folder", "own/deep/er/c"])
    def test_a_link_to_nothing_is_one_line(self, raw, link):
        self.declare(raw, 'FILES = (".npy",)')
        (raw / link).symlink_to("nowhere")
        with pytest.raises(FedmetaError, match=f"{link} is a broken link: fix or remove it"):
            self.contents(raw)

    def test_a_raw_folder_that_is_a_link_to_nothing_or_a_file_is_one_line(self, raw):
        (raw / "own").rename(raw / "elsewhere")
        (raw / "own").symlink_to("nowhere")
        with pytest.raises(FedmetaError, match="own is a broken link: fix or remove it"):
            self.contents(raw)
        (raw / "own").unlink()
        (raw / "own").write_text("file")
        with pytest.raises(FedmetaError, match="own cannot be read: Not a directory: fix or remove it"):
            self.contents(raw)

    def test_a_pipe_is_not_waited_for(self, raw):
        before = self.contents(raw)
        os.mkfifo(raw / "own/pipe")
        assert self.contents(raw) == before

    def test_a_link_to_a_folder_around_it_is_one_line(self, raw):
        (raw / "own/deep/er/again").symlink_to(raw / "own/deep")
        with pytest.raises(FedmetaError, match="er/again is a link to a folder that contains it: remove it"):
            self.contents(raw)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("CHANNELS = 2", r"CHANNELS must be 1 \(grey images\) or 3 \(colour\)"),
        ('FILES = ".png"', "FILES must be a tuple of lower-case suffixes"),
        ('FILES = (".PNG",)', "FILES must be a tuple of lower-case suffixes"),
        ('PUBLISHED = {"a.zip": "1234"}', "PUBLISHED must be a dictionary of the files that the reader downloads"),
        ('DEPTH = "2"', "DEPTH must be a whole number from 1"),
        ("DEPTH = 1 + len('a')", "DEPTH must be written as a plain value"),
    ],
)
def test_a_constant_that_cannot_be_is_one_line(project, line, problem):
    folder, _ = project
    name = reader_of(folder, "return [grey] * 3, table", line)
    with pytest.raises(FedmetaError, match=problem) as raised:
        RawData(folder / "data/raw").contents(name)
    assert "own.py: " in str(raised.value)


def test_what_is_declared_of_channels_is_held_against_the_images(project):
    folder, _ = project
    name = reader_of(folder, "return [grey] * 3, table", f"CHANNELS = 3\n{IMPORTS}")
    with pytest.raises(FedmetaError, match=r"is uint8 \(8, 8, 1\): make it uint8 \(8, 8, 3\)$"):
        read_all(folder, name)


def test_the_package_s_readers_are_known_by_name_and_count_all_kinds_of_images():
    assert set(plugins.names("reader")) >= {"glyphs", "image_folder", "mini_imagenet", "omniglot"}
    assert constants_of("image_folder").FILES == constants_of("mini_imagenet").FILES == SUFFIXES


def test_a_data_set_s_folder_may_have_hyphens(tmp_path):
    assert folder_of("a/b/my_own_set.py", tmp_path) == tmp_path / "my_own_set"
    (tmp_path / "my-own-set").mkdir()
    assert folder_of("a/b/my_own_set.py", tmp_path) == tmp_path / "my-own-set"


def test_images_of_a_reader_may_come_as_an_array(project, monkeypatch):
    bank = make_bank(3, 4)
    monkeypatch.setattr("fedmeta.data.readers.glyphs.render_glyphs", lambda size: (bank.images, list(bank.classes)))
    images, _ = read_all(project[0], "glyphs", bank.images.shape[1])
    assert np.array_equal(images, bank.images)
