"""Print the pip option with which `make` takes PyTorch's CPU wheels, or nothing; say on stderr which wheels it takes.

On Linux the default wheels bring gigabytes of CUDA. Those for the CPU are in an index of their own, which is used only
if there is no NVIDIA GPU and the user's pip settings name no index. Called before anything is installed:

    .venv/bin/python tools/torch_index.py https://download.pytorch.org/whl/cpu
"""

import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia")
PATIENCE = 5  # seconds to wait for the index


def option(index: str) -> tuple[str, str]:
    """Return the option for pip install, "" for none, and one line that says why."""
    if not index:
        return "", "PyTorch comes from pip's own index, as asked"
    if sys.platform != "linux":
        return "", "PyTorch's default wheels are for the CPU here"
    if shutil.which("nvidia-smi") or DRIVER.exists():
        return "", "PyTorch's default wheels, with CUDA: there is an NVIDIA GPU (3.5 GB)"
    if setting := own_index():
        return "", f"PyTorch comes from where pip's setting {setting} says, with CUDA if its wheels have it"
    if problem := unreachable(index):
        return "", f"PyTorch's default wheels, with CUDA (3.5 GB): {index} cannot be reached ({problem})"
    return f"--extra-index-url={index}", f"PyTorch's wheels for the CPU, from {index} (0.5 GB): there is no NVIDIA GPU"


def own_index() -> str:
    """Return the pip setting, in its files or in the environment, that says where packages come from, if there is one.

    Further indices (`extra-index-url`) stay in force beside PyTorch's, so they do not count, except one for PyTorch.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings = [line.partition("=")[::2] for line in listed.splitlines()]
    return next(
        (name for name, value in settings if name.endswith((".index-url", ".no-index")) or "pytorch" in value), ""
    )


def unreachable(index: str) -> str:
    """Return why the index does not answer soon, "" if it does."""
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=PATIENCE):
            return ""
    except (OSError, ValueError) as error:
        return " ".join(str(getattr(error, "reason", error)).split())


if __name__ == "__main__":
    chosen, why = option(*sys.argv[1:])
    print(why, file=sys.stderr)
    print(chosen)
