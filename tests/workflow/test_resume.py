"""Whatever ends a run, the commands of docs/troubleshooting.md lead to the bytes of an undisturbed run."""

import contextlib
import multiprocessing
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.interruption import AGAIN, STAGES, UNLOCK, Call, Project, wait_until
from helpers.project import error_lines

from fedmeta.errors import FedmetaError
from fedmeta.files import exclusive, remove_leftovers
from fedmeta.made import record_of

# Whom to send which signal. SIGTERM and SIGINT to Snakemake alone let the running stage finish: see below.
KILLS = [
    ("worker", signal.SIGKILL),
    ("snakemake", signal.SIGKILL),
    ("job", signal.SIGTERM),
    ("all", signal.SIGINT),
    ("job", signal.SIGKILL),
    ("worker", signal.SIGTERM),
    ("all", signal.SIGKILL),
    ("job", signal.SIGINT),
    ("all", signal.SIGTERM),
]


def kill_and_recover(project: Project, kills: list[tuple[str, signal.Signals]]) -> None:
    """Kill the stage once for each of `kills` at random moments, recover each time, and let it finish."""
    moments = random.Random(project.stage)
    for whom, number in kills:
        saved_before, saves = project.unfinished.exists(), moments.randrange(11)
        call = project.start()
        project.wait_for_saves(saves)
        time.sleep(moments.random() * 0.1)
        call.kill(whom, number)
        assert call.process.returncode != 0
        assert not project.target.exists(), f"{whom} {number.name} came too late"
        if saves and saved_before:
            assert "resuming unfinished work" in project.log()
        if number != signal.SIGKILL:
            assert "Traceback" not in project.log() + call.text()
        if whom in ("snakemake", "all") and number == signal.SIGKILL:
            unlock(project)
    assert project.unfinished.exists()
    leftover = project.target.with_name(f".{project.target.stem}.elsewhere-1{project.target.suffix}")
    leftover.write_text("of a writer that was killed in the midst of a write")
    project.finish(project.command())
    assert "resuming unfinished work" in project.log()
    assert [seconds > 0 for seconds in project.earlier_seconds()] == [True]


def unlock(project: Project) -> None:
    """Take away the lock of a call that was killed, once the same call again says that it is there."""
    assert "Directory cannot be locked" in project.call(project.command()).stderr
    project.finish(UNLOCK)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put what is in a folder on a disk of 2 MB of its own."""
    content = folder.with_name("moved")
    folder.rename(content)
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        shutil.copytree(content, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of a folder to the last byte, and return the file that does it."""
    path = folder / "filler"
    for piece in (1000, 1):
        with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
            while True:
                file.write(bytes(piece))
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Project:
    """A project with a pre-trained model, of a run that nothing disturbed."""
    project = Project.make(tmp_path_factory.mktemp("undisturbed") / "project", "pretrain")
    project.finish(project.command())
    return project


@pytest.fixture(scope="module")
def finished(undisturbed, tmp_path_factory) -> Project:
    """A project in which everything is made, by a run that nothing disturbed."""
    project = undisturbed.twin(tmp_path_factory.mktemp("finished") / "project", "pretrain")
    project.finish(AGAIN)
    assert project.target.read_bytes() == undisturbed.target.read_bytes()
    return project


@pytest.fixture
def project(undisturbed, tmp_path) -> Project:
    """The project before pre-training."""
    return undisturbed.twin(tmp_path / "project", "pretrain")


def test_a_killed_stage_goes_on_to_the_same_bytes(project, undisturbed):
    kill_and_recover(project, KILLS[:3])
    assert project.made() == undisturbed.made()


def test_a_full_disk_is_one_clear_line_and_loses_nothing(project, undisturbed):
    with small_disk(project.folder / "results"):
        call = project.start()
        project.wait_for_saves(5)
        filler = fill(project.folder / "results")
        saved = project.unfinished.read_bytes()
        assert call.process.wait(600) != 0
        assert "could not be saved, continuing without: no space left" in project.log()
        (line,) = {line[9:] for line in call.text().splitlines() if "error: " in line}
        assert line == f"error: no space left for {STAGES['pretrain']}: free some disk space and run again"
        assert "Traceback" not in project.log() + call.text()
        assert "360 of 360 episodes" in project.log()
        assert project.unfinished.read_bytes() == saved

        filler.unlink()
        project.finish(project.command())
        assert "resuming unfinished work" in project.log()
        assert project.made() == undisturbed.made()


def test_a_folder_that_cannot_be_written_is_one_clear_line_and_loses_nothing(project, undisturbed):
    results = project.folder / "results"
    with small_disk(results):
        subprocess.run(["mount", "-o", "remount,ro", results], check=True)
        run = project.call(project.command())
        assert run.returncode != 0
        assert "\ncannot write results: make it writable and run again\n" in run.stderr
        assert "Traceback" not in run.stdout + run.stderr
        with pytest.raises(FedmetaError, match="cannot write"), exclusive(project.target):
            pass


def hold(path: Path, held: multiprocessing.Event) -> None:
    with exclusive(path):
        held.set()
        signal.pause()


def test_only_one_process_makes_a_file_at_a_time_and_a_dead_one_gives_it_back(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    path, held = tmp_path / "model.safetensors", spawn.Event()
    holder = spawn.Process(target=hold, args=(path, held))
    holder.start()
    assert held.wait(60)
    with pytest.raises(FedmetaError, match=rf"model\.safetensors is being made by \(process {holder.pid} on "):
        exclusive(path).__enter__()
    holder.kill()
    holder.join()
    with exclusive(path):
        assert [file.name for file in tmp_path.iterdir()] == [".model.safetensors.lock"]
    assert not list(tmp_path.iterdir())


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    keep = ["model.safetensors", ".model.safetensors.unfinished", ".model.node-1.csv", ".models.node-1.safetensors"]
    for name in [*keep, ".model.node-1.safetensors", ".model.my-node.org-4711.safetensors"]:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(keep)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_four_times_goes_on_to_the_same_bytes(finished, tmp_path, stage):
    project = finished.twin(tmp_path / "project", stage)
    first = 4 * list(STAGES).index(stage)
    kill_and_recover(project, [KILLS[number % len(KILLS)] for number in range(first, first + 4)])
    assert project.made() == finished.made()


@pytest.mark.slow
def test_a_whole_run_killed_eight_times_ends_with_the_same_files(finished, tmp_path):
    project = Project.make(tmp_path / "project", "pretrain")
    moments = random.Random("whole run")
    for whom in ("all", "snakemake") * 4:
        call = Call(project, AGAIN)
        wait_until(lambda call=call: "Execute" in call.text())
        time.sleep(moments.uniform(0, 5))
        assert call.process.poll() is None, call.text()
        call.kill(whom, signal.SIGKILL)
        unlock(project)
    project.finish(AGAIN)
    assert project.made() == finished.made()


@pytest.mark.slow
def test_a_second_call_at_the_same_time_is_one_clear_line_and_spoils_nothing(project, undisturbed):
    call = project.start()
    project.wait_for_saves(1)
    call.job().suspend()
    second = project.call(project.command())
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stderr
    project.finish(UNLOCK)
    second = project.call(project.command())
    assert second.returncode != 0
    (line,) = set(error_lines(second))
    assert f"{STAGES['pretrain']} is being made by (process {call.job().pid} on " in line
    assert line.endswith("cancel it or wait for it to finish, then run again")

    # An edit while a stage runs does not disturb it either, but counts for the next call.
    module = project.folder / "fedmeta/learning/reptile.py"
    source = module.read_text()
    module.write_text(source + "EDITED = True\n")
    call.job().resume()
    assert call.process.wait(600) == 0, call.text()
    record = str(record_of(project.target).relative_to(project.folder))
    made, expected = project.made(), undisturbed.made()
    assert b'"key": ""' in made.pop(record), "it is not to be taken for what another call makes"
    assert b'"key": ""' not in expected.pop(record)
    assert made == expected
    assert "fedmeta/learning/reptile.py" in project.call(project.command("--dry-run")).stdout
    module.write_text(source)
    assert "Nothing to be done" in project.call(project.command("--dry-run")).stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_snakemake_alone_lets_the_running_stage_finish(project, undisturbed, number):
    call = project.start()
    call.kill("snakemake", number)
    assert project.target.read_bytes() == undisturbed.target.read_bytes()
    project.finish(project.command())
    assert project.made() == undisturbed.made()
