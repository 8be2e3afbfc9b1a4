"""Finished work is kept, put in place again only for the same job, and never when it is not what was made."""

import json
import os
import shutil

import pytest

from fedmeta import store
from fedmeta.errors import FedmetaError
from fedmeta.files import abandoned, exclusive
from fedmeta.made import Work, kept, read_record, record_of, records
from workflow.lib.again import doubts, set_clock


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEDMETA_STORE", raising=False)
    os.makedirs("results/a")
    with open("results/input", "w") as file:
        file.write("input")


def work(job=None, outputs=("results/a/one", "results/a/two")) -> Work:
    return Work({"params": {"x": 1}} if job is None else job, ["results/input"], outputs)


def make(contents=("first", "second"), **options) -> Work:
    made = work(**options)
    for path, content in zip(made.outputs, contents, strict=False):
        with open(path, "w") as file:
            file.write(content)
    made.keep()
    return made


def content(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_deleted_outputs_come_back_newer_than_their_inputs():
    make()
    for path in ("results/a/one", "results/a/two"):
        os.unlink(path)
    os.utime("results/input")
    assert work().restore()
    assert [content("results/a/one"), content("results/a/two")] == ["first", "second"]
    assert os.path.getmtime("results/a/one") >= os.path.getmtime("results/input")
    assert not doubts(lambda path: True)
    assert sorted(os.listdir("results/a")) == [".one.kept", ".one.made", ".two.kept", "one", "two"]


def test_another_job_or_other_inputs_or_outputs_are_made_anew():
    make()
    assert not work(job={"params": {"x": 2}}).restore()
    assert not work(outputs=("results/a/one",)).restore()
    with open("results/input", "w") as file:
        file.write("Input")
    assert not work().restore()


def test_the_order_in_which_a_job_is_said_does_not_count():
    make(job={"a": 1, "b": 2})
    assert work(job={"b": 2, "a": 1}).restore()


@pytest.mark.parametrize("damage", ["flipped", "missing", "record"])
def test_what_is_not_whole_is_not_taken(damage, caplog):
    make()
    os.unlink("results/a/two")
    if damage == "flipped":
        kept("results/a/two").write_text("Second")
    elif damage == "missing":
        kept("results/a/two").unlink()
    else:
        record_of("results/a/one").write_text('{"key": 1}')
    assert not work().restore()
    assert not os.path.exists("results/a/two")
    assert ("making it again" in caplog.text) == (damage == "flipped")


def test_work_of_code_that_was_edited_meanwhile_is_recorded_but_not_taken():
    made = work()
    for path in made.outputs:
        with open(path, "w") as file:
            file.write("of which code?")
    made.keep(reusable=False)
    assert not work().restore()
    assert not doubts(lambda path: True)


def test_without_hard_links_there_is_nothing_to_take(monkeypatch):
    def refuse(*paths):
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    make()
    assert not kept("results/a/one").exists()
    assert not work().restore()
    assert not doubts(lambda path: True)


def test_a_folder_in_the_place_of_an_output_is_one_line():
    make()
    os.unlink("results/a/two")
    os.makedirs("results/a/two/inside")
    with pytest.raises(FedmetaError, match=r"^cannot write results/a/two: remove the file or folder in its place"):
        work().restore()


def test_where_something_is_in_the_way_there_is_nothing_to_take():
    kept("results/a/one").mkdir()
    make()
    assert kept("results/a/one").is_dir()
    assert not work().restore()
    assert not doubts(lambda path: True)


class TestStore:
    @pytest.fixture(autouse=True)
    def shared(self, tmp_path, monkeypatch):
        monkeypatch.setenv("FEDMETA_STORE", str(tmp_path / "store"))
        make()
        shutil.rmtree("results/a")
        os.mkdir("results/a")

    def test_another_working_copy_takes_from_it(self):
        assert work().restore()
        assert [content("results/a/one"), content("results/a/two")] == ["first", "second"]
        assert read_record("results/a/one").key == work().key
        assert not work(job={"params": {"x": 2}}).restore()

    def test_what_is_done_to_a_result_does_not_reach_it(self):
        assert work().restore()
        with open("results/a/one", "w") as file:
            file.write("edited")
        shutil.rmtree("results/a")
        os.mkdir("results/a")
        assert work().restore()
        assert content("results/a/one") == "first"

    @pytest.mark.parametrize("damage", ["flipped", "missing", "no hashes", "fewer"])
    def test_what_is_not_whole_is_removed_and_put_there_anew(self, tmp_path, caplog, damage):
        entry = tmp_path / "store" / work().key
        if damage == "flipped":
            (entry / "1").write_text("Second")
        elif damage == "missing":
            (entry / "1").unlink()
        elif damage == "fewer":
            (entry / "hashes.json").write_text(json.dumps(json.loads((entry / "hashes.json").read_text())[:1]))
        else:
            (entry / "hashes.json").write_text("[")
        assert not work().restore()
        assert "making it again" in caplog.text
        make()
        assert store.take(work().key, work().outputs)

    def test_one_that_cannot_be_written_is_a_warning(self, tmp_path, caplog, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("FEDMETA_STORE", str(tmp_path / "file"))
        make()
        assert "continuing without" in caplog.text


class TestDoubts:
    def test_what_is_as_it_was_made_is_in_no_doubt(self):
        make()
        assert not doubts(lambda path: True)
        os.utime("results/a/one")
        assert not doubts(lambda path: True)
        assert len(list(records(["results"]))) == 1

    def test_what_is_missing_or_edited_or_not_on_record(self):
        make()
        os.unlink("results/a/two")
        assert doubts(lambda path: True) == {"results/a/two": "is missing"}
        with open("results/a/two", "w") as file:
            file.write("Second")
        assert doubts(lambda path: True) == {"results/a/two": "has changed since it was made"}
        with open("results/a/two", "w") as file:
            file.write("second")
        assert doubts(lambda path: path != "results/a/one") == {"results/a/one": "is not on record"}

    def test_what_cannot_be_read(self):
        make()
        os.unlink("results/a/one")
        os.mkdir("results/a/one")
        assert doubts(lambda path: True) == {"results/a/one": "cannot be read"}

    def test_an_input_that_is_missing_though_nobody_has_recorded_it(self):
        make()
        os.unlink("results/input")
        assert doubts(lambda path: True) == {"results/input": "is missing"}

    def test_what_was_made_from_other_content_than_there_is_now(self):
        make(outputs=["results/first"])
        after = Work({}, ["results/first"], ["results/second"])
        shutil.copy("results/first", "results/second")
        after.keep()
        assert not doubts(lambda path: True)
        make(job={"params": {"x": 2}}, outputs=["results/first"], contents=["other"])
        assert doubts(lambda path: True) == {"results/second": "was made from another results/first"}

    def test_times_in_the_future_are_set_to_now(self):
        make()
        os.utime("results/a/one", (9e9, 9e9))
        os.utime("results/input", (9e9, 9e9))
        assert set_clock(["results/input", "absent"]) == ["results/input", "results/a/one"]
        assert not set_clock(["results/input"])


def test_only_the_lock_of_a_dead_process_is_found():
    with exclusive("results/a/alive"):
        open("results/a/.dead.lock", "w").close()
        assert [str(path) for path in abandoned(["results"])] == ["results/a/dead"]
        assert not abandoned(["results"])
        assert os.path.exists("results/a/.alive.lock")
