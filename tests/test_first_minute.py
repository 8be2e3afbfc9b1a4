"""The first minute: `make` says what it will do, and PyTorch comes for the CPU where that is wanted and can be had."""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
import torch_index
from helpers.project import ROOT

LOCKED = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
TORCH = LOCKED["torch"]


def dry_make(*arguments: str) -> str:
    # A make that called the tests is not to tell this one how to work.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--dry-run", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_make_says_first_what_it_will_do_and_what_it_downloads(tmp_path):
    """The venv is made, or found as it is, only after that; a later call downloads nothing and does not say so."""
    new = dry_make(f"VENV={tmp_path / 'new'}")
    said, _, done = new.partition("\necho\n")
    assert all(line.startswith("echo ") for line in said.splitlines())
    assert 3 <= len(said.splitlines()) <= 4
    assert re.search(r"download of [\d.]+ GB", said) and re.search(r"about \d+ minutes on two cores", said)
    assert "-m venv" in done and "tools/torch_index.py" in done and "snakemake" in done

    (tmp_path / "old").mkdir()
    (tmp_path / "old/.installed").touch()
    old = dry_make(f"VENV={tmp_path / 'old'}", "--old-file=pyproject.toml", "--old-file=requirements.lock")
    assert "GB" not in old and "-m venv" not in old and "two cores" in old


def wheel(folder: Path, version: str) -> str:
    """Write a wheel of an empty torch, and return the page of an index with a link to it."""
    folder.mkdir(parents=True)
    name, about = f"torch-{version}-py3-none-any.whl", f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a>')
    return name


@pytest.fixture
def server(tmp_path):
    """The address of a server of two indices on this machine: torch with CUDA, and torch for the CPU."""
    wheel(tmp_path / "simple/torch", TORCH)
    wheel(tmp_path / "whl/cpu/torch", f"{TORCH}+cpu")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture(autouse=True)
def newcomer(monkeypatch, tmp_path):
    """Linux, no GPU, no settings of pip, no proxy."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(torch_index.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch_index, "DRIVER", tmp_path / "no driver")


def test_pip_takes_the_locked_version_for_the_cpu_where_its_index_answers(server):
    """Run as `make` runs it, but that nothing is installed; the lock pins the version, whichever wheel it is of."""
    chosen, why = torch_index.option(f"{server}/whl/cpu")
    assert "for the CPU" in why and f"{server}/whl/cpu" in why
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    install += ["--index-url", f"{server}/simple", "--constraint", str(ROOT / "requirements.lock"), "--report", "-"]
    taken = {
        asked: json.loads(
            subprocess.run([*install, *asked, "torch"], capture_output=True, text=True, check=True).stdout
        )
        for asked in ((), (chosen,))
    }
    versions = [report["install"][0]["metadata"]["version"] for report in taken.values()]
    assert versions == [TORCH, f"{TORCH}+cpu"]


def test_the_set_up_goes_on_where_the_index_does_not_answer(server):
    for index in (f"{server}/elsewhere", "http://127.0.0.1:9/whl/cpu", "no address"):
        chosen, why = torch_index.option(index)
        assert chosen == ""
        assert "with CUDA" in why and "cannot be reached" in why and "\n" not in why


def test_a_silent_index_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(torch_index, "PATIENCE", 0.2)
    with http.server.socketserver.TCPServer(("127.0.0.1", 0), None) as silent:  # it accepts, and never answers
        begun = time.monotonic()
        assert "timed out" in torch_index.unreachable(f"http://127.0.0.1:{silent.server_address[1]}/whl/cpu")
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("PIP_INDEX_URL", "https://mirror.example/simple", True),
        ("PIP_NO_INDEX", "1", True),
        ("PIP_EXTRA_INDEX_URL", "https://download.pytorch.org/whl/cu130", True),
        ("PIP_EXTRA_INDEX_URL", "https://packages.example/simple", False),
        ("PIP_TIMEOUT", "60", False),
    ],
)
def test_settings_of_pip_are_left_alone(server, monkeypatch, name, value, left):
    """A further index stays beside PyTorch's, one that replaces the usual one or is PyTorch's own stays alone."""
    monkeypatch.setenv(name, value)
    chosen, why = torch_index.option(f"{server}/whl/cpu")
    assert (chosen == "") == left
    assert ("pip's setting" in why) == left


def test_a_gpu_another_system_or_the_user_keep_the_default_wheels(server, monkeypatch, tmp_path):
    index = f"{server}/whl/cpu"
    assert torch_index.option("") == ("", "PyTorch comes from pip's own index, as asked")
    with monkeypatch.context() as gpu:
        gpu.setattr(torch_index.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "nvidia-smi" else None)
        assert torch_index.option(index)[0] == ""
    with monkeypatch.context() as gpu:
        gpu.setattr(torch_index, "DRIVER", tmp_path)
        assert "NVIDIA GPU" in torch_index.option(index)[1] and torch_index.option(index)[0] == ""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert torch_index.option(index)[0] == ""


def test_make_passes_the_option_on_and_what_is_said_is_no_part_of_it(server):
    call = [sys.executable, "tools/torch_index.py"]
    run = subprocess.run([*call, "http://127.0.0.1:9/cpu"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "\n" and run.stderr.count("\n") == 1
    commands = dry_make("VENV=elsewhere", "TORCH_INDEX=http://an.index/cpu", "setup")
    assert 'torch=$(elsewhere/bin/python tools/torch_index.py "http://an.index/cpu") &&' in commands
    assert "pip install --quiet --no-compile $torch --constraint requirements.lock" in commands
