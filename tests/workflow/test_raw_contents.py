"""Raw files count by their content, which is not all read whenever Snakemake is called."""

import hashlib
import re
import shutil
import zipfile
from functools import partial

import pytest
from invalidation import OTHER_READERS, READERS

from fedmeta.errors import FedmetaError
from workflow.lib.raw_data import RawData


class TestRawData:
    """Raw files count by their content: they may be elsewhere, or not be there yet."""

    TARGETS = ("data/prepared/default/omniglot/resized.npy",)

    @pytest.fixture
    def raw(self, finished, tmp_path):
        """A folder with an archive and an extracted folder, from which Omniglot has been prepared."""
        raw = tmp_path / "raw"
        (raw / "omniglot/images_evaluation/Greek/character01").mkdir(parents=True)
        (raw / "omniglot/images_evaluation/Greek/character01/1.png").write_bytes(b"drawing")
        (raw / "omniglot/images_background.zip").write_bytes(b"archive")
        for name in ("resized.npy", "resized.csv"):
            path = finished.folder / "data/prepared/default/omniglot" / name
            path.parent.mkdir(parents=True, exist_ok=True)
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

    def test_a_folder_named_like_an_archive_is_left_to_the_reader(self, finished, raw):
        (raw / "omniglot/images_background.zip").unlink()
        (raw / "omniglot/images_background.zip").mkdir()
        assert set(self.reruns(finished, raw)) == {"resize"}

    def test_other_content_reruns_resize(self, finished, raw):
        (raw / "omniglot/images_background.zip").write_bytes(b"Archive")
        assert set(self.reruns(finished, raw)) == {"resize"}
        (raw / "omniglot/images_background.zip").write_bytes(b"archive")
        (raw / "omniglot/images_evaluation/Greek/character01/2.png").write_bytes(b"drawing")
        assert set(self.reruns(finished, raw)) == {"resize"}

    def test_the_data_set_s_own_reader_reruns_resize(self, finished, raw):
        for path, rules in ((READERS["omniglot"][0], {"resize"}), ("fedmeta/data/readers/glyphs.py", set())):
            with finished.edited(path, (finished.folder / path).read_text() + "\nedited = True\n"):
                assert set(self.reruns(finished, raw)) == rules

    def test_downloading_them_reruns_nothing(self, finished, raw):
        """What is missing counts as what would be downloaded."""
        from torchvision.datasets import Omniglot

        rules = (finished.folder / "fedmeta/data/readers/omniglot.py").read_text()
        for name, published in Omniglot.zips_md5.items():
            assert f'"{name}.zip": "{published}"' in rules
            rules = rules.replace(published, hashlib.md5(name.encode()).hexdigest())
        with finished.edited("fedmeta/data/readers/omniglot.py", rules):
            finished.printed(*self.arguments(raw / "empty"), "--touch", "--forceall", dry=False)
            (raw / "empty/omniglot").mkdir(parents=True)
            for name in Omniglot.zips_md5:
                (raw / f"empty/omniglot/{name}.zip").write_bytes(name.encode())
            assert not self.reruns(finished, raw / "empty")


class TestLocalRawData:
    """Files that users put there count by names and contents, large ones by their size and ends."""

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
            path = finished.folder / f"data/prepared/default/{dataset}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        finished.printed(*self.arguments(raw, dataset), "--touch", "--forceall", dry=False)
        assert not finished.dry_run(*self.arguments(raw, dataset))
        return raw

    def arguments(self, raw, dataset):
        target = f"data/prepared/default/{dataset}/resized.npy"
        return target, "--config", f"raw_data={raw}", f'datasets=["{dataset}"]'

    def write_zip(self, raw, content):
        with zipfile.ZipFile(raw / "mini_imagenet/images.zip", "w") as file:
            file.writestr(zipfile.ZipInfo("images/n0100000001.jpg"), content)

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

        (raw / dataset / "n01/1.jpg").write_bytes(b"Picture")  # as long as before
        assert reruns() == {"resize"}
        (raw / dataset / "n01/1.jpg").write_bytes(b"picture")
        assert not reruns()
        (raw / dataset / "n01/1.jpg").rename(raw / dataset / "n01/2.jpg")
        assert reruns() == {"resize"}
        (raw / dataset / "n01/2.jpg").rename(raw / dataset / "n01/1.jpg")
        (raw / dataset / "extra/n01/2.JPEG").write_bytes(b"picture")
        assert reruns() == ({"resize"} if dataset == "mini_imagenet" else set())  # too deep to be an image of a class

    def test_the_data_set_s_own_reader_reruns_resize(self, finished, raw, dataset):
        for path in (*OTHER_READERS, "fedmeta/progress.py", "fedmeta/data/readers/glyphs.py"):
            with finished.edited(path, (finished.folder / path).read_text() + "\nedited = True\n"):
                reruns = set(finished.dry_run(*self.arguments(raw, dataset)))
            assert reruns == ({"resize"} if path in READERS[dataset] else set()), path

    def test_a_link_to_nothing_is_one_clear_line(self, finished, raw, dataset):
        (raw / dataset / "n01/2.jpg").symlink_to("nowhere.jpg")
        text = finished.printed(*self.arguments(raw, dataset))
        assert f"{raw}/{dataset}/n01/2.jpg is a broken link: fix or remove it" in text
        assert "Traceback" not in text

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
            "image_folder": "has no class folders",
        }
        assert re.search(expected[dataset], text)
        assert "Traceback" not in text
        assert (finished.folder / f"data/prepared/default/{dataset}/resized.npy").read_text() == "resized.npy"


@pytest.mark.parametrize(
    ("dataset", "link"),
    [
        *(("omniglot", link) for link in ("images_background.zip", "images_evaluation", "images_background/Greek")),
        *(("omniglot", link) for link in ("images_background/Greek/character01", "images_background/Greek/c/1.png")),
        *(("image_folder", link) for link in ("", "cat", "cat/1.jpg")),
        *(("mini_imagenet", link) for link in ("", "images.zip", "train", "train/n01/1.jpg", "test.csv")),
    ],
)
def test_every_link_to_nothing_is_named(tmp_path, monkeypatch, dataset, link):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "raw" / dataset / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FedmetaError, match=rf"^{re.escape(str(path))} is a broken link: fix or remove it$"):
        RawData(tmp_path / "raw").contents(dataset)


def test_a_raw_folder_that_is_a_link_to_nothing_matters_only_where_raw_files_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FedmetaError, match="raw is a broken link"):
        RawData(tmp_path / "raw").contents("omniglot")
    assert RawData(tmp_path / "raw").contents("glyphs") == {}


def test_drawings_in_linked_folders_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawing = tmp_path / "elsewhere/character01/1.png"
    drawing.parent.mkdir(parents=True)
    drawing.write_bytes(b"drawing")
    (tmp_path / "raw/omniglot/images_background").mkdir(parents=True)
    (tmp_path / "raw/omniglot/images_background/Greek").symlink_to(tmp_path / "elsewhere")
    before = RawData(tmp_path / "raw").contents("omniglot")
    drawing.write_bytes(b"Drawing")
    assert RawData(tmp_path / "raw").contents("omniglot") != before
