"""The script of docs/performance.md trains without Snakemake what the workflow's stages train."""

import re
import subprocess
import sys

import pytest
import torch
import yaml
from helpers.project import ROOT
from helpers.stage_runs import SETTINGS, Job, load_stages, make_data, small_settings
from safetensors.torch import load_file

WITHOUT = "import runpy, sys; sys.modules['snakemake'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("without")


@pytest.fixture(scope="module")
def data(folder):
    return make_data(small_settings(), folder)


@pytest.fixture(scope="module")
def shown(folder, data):
    """What the script writes with the engine for a GPU, called twice: the second call goes on from the first."""
    script = re.search(r"```python\n(.*?)```", (ROOT / "docs/performance.md").read_text(), re.DOTALL)[1]
    (folder / "paper_scale.py").write_text(script)
    (folder / "overlay.yaml").write_text(yaml.safe_dump({**SETTINGS, "engine": "batched"}))
    command = [sys.executable, "-c", WITHOUT, folder / "paper_scale.py", folder / "overlay.yaml", folder, folder]
    for _ in range(2):
        subprocess.run([*command, folder / "shown"], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)
    return folder / "shown"


@pytest.fixture(scope="module")
def expected(folder, data):
    """What the stages of the workflow write."""
    stages, model = load_stages(), folder / "stages/pretrained.safetensors"
    model.parent.mkdir()
    params = {"settings": {**small_settings(), "engine": "serial"}, "seed": 1}
    keyed = {"keyed": data["attack_training"], "keyed_classes": data["attack_training_classes"]}
    stages["pretrain"](Job("pretrain", data, model, params, 1))
    inputs = {**data, **keyed, "model": str(model)}
    stages["attack"](Job("attack", inputs, model.with_name("attacked.safetensors"), params, 1))
    return model.parent


@pytest.mark.parametrize("name", ["pretrained.safetensors", "attacked.safetensors"])
def test_the_script_trains_what_the_workflow_trains(shown, expected, name):
    tensors, wanted = load_file(shown / name), load_file(expected / name)
    assert tensors.keys() == wanted.keys()
    for tensor in wanted:
        torch.testing.assert_close(tensors[tensor], wanted[tensor], rtol=0, atol=1e-4)


def test_the_attack_changes_the_model(shown):
    before, after = (load_file(shown / f"{name}.safetensors") for name in ("pretrained", "attacked"))
    assert not torch.equal(before["conv1.kernel"], after["conv1.kernel"])
