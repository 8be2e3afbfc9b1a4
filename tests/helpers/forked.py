"""Calls of Snakemake in forks of a process that has imported it, which takes half the time of a small call."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
# None of the project's own modules: each call reads those of its folder.
FORKS.set_forkserver_preload(["snakemake.cli", "pandas", "pydantic"])


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Return what a command `python -m snakemake ...` does and prints in `folder`."""
    with tempfile.TemporaryDirectory() as outputs:
        output, error = (Path(outputs) / name for name in ("output", "error"))
        process = FORKS.Process(target=enter, args=(command, folder, dict(os.environ), output, error))
        process.start()
        process.join()
        return subprocess.CompletedProcess(command, process.exitcode, output.read_text(), error.read_text())


def enter(command: list[str], folder: Path, environment: dict[str, str], *outputs: Path) -> None:
    """Become the process that such a command starts."""
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.argv = command[2:]

    from snakemake.cli import main

    main(sys.argv[1:])
