"""Where Slurm runs the jobs that profiles/slurm asks for, and when: on a workflow of sleeps."""

import itertools
from datetime import datetime

import pytest
import yaml
from cluster import CPU_NODES, GPU_NODE
from helpers.project import ROOT
from working_copy import TOY, WorkingCopy

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def jobs(cluster, tmp_path_factory) -> list[dict[str, str]]:
    """The Slurm jobs of one whole run."""
    before = cluster.jobs().keys()
    status, text = WorkingCopy(cluster, TOY, tmp_path_factory.mktemp("toy") / "run").on_slurm().finish()
    assert status == 0, text
    return [job for number, job in cluster.jobs().items() if number not in before]


def of_partition(jobs, partition: str) -> list[dict[str, str]]:
    return [job for job in jobs if job["partition"] == partition]


def overlap(one, other) -> bool:
    """Whether two jobs ran at the same time."""
    start, end = (max(one["start"], other["start"]), min(one["end"], other["end"]))
    return datetime.fromisoformat(start) < datetime.fromisoformat(end)


def test_gpu_stages_run_on_the_gpu_node_and_the_others_do_not(jobs):
    gpu, cpu = of_partition(jobs, "gpu"), of_partition(jobs, "cpu")
    assert len(gpu) == 4
    assert {job["nodes"] for job in gpu} == {GPU_NODE}
    assert all(job["comment"].startswith("rule_pretrain") for job in gpu)
    assert len(cpu) == 2
    assert {job["nodes"] for job in cpu} <= set(CPU_NODES)
    assert all(job["comment"].startswith("rule_prepare") for job in cpu)


def test_gpu_jobs_take_turns_and_cpu_jobs_overlap(jobs):
    assert not any(overlap(*pair) for pair in itertools.combinations(of_partition(jobs, "gpu"), 2))
    assert any(overlap(*pair) for pair in itertools.combinations(of_partition(jobs, "cpu"), 2))


def test_all_jobs_of_a_run_bear_one_name(jobs):
    (name,) = {job["name"] for job in jobs}
    assert name.startswith("fedmeta_")


def test_the_cluster_profile_replaces_the_default_one():
    default, slurm = (
        yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()) for name in ("default", "slurm")
    )
    assert "gpu" not in slurm["resources"], "would limit the whole cluster to that many GPU jobs at once"
    of_one_machine = {"cores", "resources"}
    assert {key: slurm.get(key) for key in default.keys() - of_one_machine} == {
        key: value for key, value in default.items() if key not in of_one_machine
    }
