"""Whatever ends a job on Slurm, or the run itself: a clear end, no broken file, and the next call finishes.

The cases wait most of the time, so all that are asked for run at once, each in a working copy of its own.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cluster import GPU_NODE, MEMORY_CGROUPS, limits_memory, wait_until
from helpers.project import ROOT, is_measured
from working_copy import TINY, Call, WorkingCopy

from fedmeta.made import kept, record_of

pytestmark = pytest.mark.slurm


def kill_script(copy: WorkingCopy, call: Call, script: int) -> None:
    os.kill(script, signal.SIGKILL)


def cancel(copy: WorkingCopy, call: Call, script: int) -> None:
    copy.cluster.query("scancel", call.job())


def run_out_of_time(copy: WorkingCopy, call: Call, script: int) -> None:
    copy.cluster.query("scontrol", "update", f"JobId={call.job()}", "EndTime=now+1")


def run_out_of_memory(copy: WorkingCopy, call: Call, script: int) -> None:
    """Take all but little of its memory from the stage, and let it go on: the kernel kills it when it needs more.

    Snakemake runs the stage as a step of the job. Slurm says in its log that the step is out of memory, and counts the
    job as failed.
    """
    starve(memory_cgroup(script), script)
    os.kill(script, signal.SIGCONT)


def run_out_of_memory_itself(copy: WorkingCopy, call: Call, script: int) -> None:
    """Let the job's own batch script run out of memory, too, so that OUT_OF_MEMORY is the state of the job."""
    batch = re.match(r".*/job_\d+/", str(memory_cgroup(script)))[0] + "step_batch"
    hog = "import sys; open(sys.argv[1] + '/cgroup.procs', 'w').write('0'); input(); bytearray(10**9)"
    with subprocess.Popen([sys.executable, "-c", hog, batch], stdin=subprocess.PIPE) as process:
        assert wait_until(lambda: batch.endswith(memory_cgroup(process.pid).name), 30)
        starve(Path(batch), process.pid)
        process.communicate(b"\n")
    assert process.returncode == -signal.SIGKILL
    run_out_of_memory(copy, call, script)


def memory_cgroup(process: int) -> Path:
    """Return the folder by which the kernel limits the memory of a process."""
    (name,) = re.findall(r"^\d+:memory:(.*)$", Path(f"/proc/{process}/cgroup").read_text(), re.M)
    return Path(f"{MEMORY_CGROUPS}{name}")


def starve(cgroup: Path, process: int) -> None:
    """Leave a cgroup 16 MiB more than it has. Of its processes the kernel is to kill this one."""
    Path(f"/proc/{process}/oom_score_adj").write_text("1000")
    used = int((cgroup / "memory.usage_in_bytes").read_text())
    (cgroup / "memory.limit_in_bytes").write_text(str(used + 16 * 2**20))


def lose_node(copy: WorkingCopy, call: Call, script: int) -> None:
    copy.cluster.set_node(GPU_NODE, "down")


def lost_job(copy: WorkingCopy, expected: dict[str, bytes], profile: str, mishap, state: str) -> None:
    """Slurm ends a job: the run says which and fails, nothing half-written is left, the next call finishes."""
    workflow = copy.workflow
    call = copy.on_slurm(workflow.target, profile=profile)
    mishap(copy, call, copy.freeze(call))
    status, text = call.finish()
    assert copy.cluster.jobs()[call.job()]["state"] == state
    assert status != 0
    message = text.partition(f"Error in rule {workflow.rule}:")[2]
    assert state in message
    assert workflow.log in message
    if mishap in (run_out_of_memory, run_out_of_memory_itself):
        assert f"error: the stage that makes {workflow.target} was killed, probably out of memory" in message
        assert f"oom-kill event(s) in StepId={call.job()}." in copy.slurm_log()
    assert wait_until(lambda: not copy.scripts(), 30)
    assert workflow.target not in copy.files()

    if mishap is lose_node:
        copy.cluster.set_node(GPU_NODE, "resume")
    finish(copy, expected, profile)


def killed_run(copy: WorkingCopy, expected: dict[str, bytes], profile: str) -> None:
    """Snakemake is killed while a job runs: the commands in docs/slurm.md end the job, and the next call finishes."""
    call = copy.on_slurm(copy.workflow.target, profile=profile)
    copy.freeze(call)
    call.kill()
    assert copy.scripts(), "the job was to outlive the run"
    copy.type(documented_recovery())
    assert not copy.scripts()
    finish(copy, expected, profile)


def orphan_and_rerun(copy: WorkingCopy, expected: dict[str, bytes], profile: str) -> None:
    """As before, but the job is not cancelled: the rerun's job names it and leaves the output alone."""
    workflow = copy.workflow
    call = copy.on_slurm(workflow.target, profile=profile)
    orphan = copy.freeze(call)
    call.kill()
    copy.type(shlex.join(["snakemake", "--unlock", "--cores", "1", *workflow.arguments]))
    status, text = copy.on_slurm(workflow.target, profile=profile).finish()
    assert status != 0
    assert f"Error in rule {workflow.rule}:" in text
    assert f"Slurm job {call.job()} " in (copy.folder / workflow.log).read_text().splitlines()[-1]
    assert workflow.target not in copy.files()

    os.kill(orphan, signal.SIGCONT)
    assert wait_until(lambda: not copy.scripts(), 60)
    finish(copy, expected, profile)


def finish(copy: WorkingCopy, expected: dict[str, bytes], profile: str) -> None:
    status, text = copy.on_slurm(copy.workflow.target, profile=profile).finish()
    assert status == 0, text
    assert copy.files() == expected


def interrupted_run(copy: WorkingCopy, expected: dict[str, bytes], profile: str) -> None:
    """Ctrl-C cancels the jobs of the run: before the first status check, for during one Snakemake cancels nothing."""
    call = copy.on_slurm(copy.workflow.target, "--slurm-init-seconds-before-status-checks", "60", profile=profile)
    copy.freeze(call)
    copy.cluster.signal(call.process, signal.SIGINT)
    status, text = call.finish()
    assert status != 0, text
    assert wait_until(lambda: copy.cluster.jobs()[call.job()]["state"] == "CANCELLED", 30), text
    assert wait_until(lambda: not copy.scripts(), 30)
    finish(copy, expected, profile)


def unseen_orphan(copy: WorkingCopy, expected: dict[str, bytes], profile: str) -> None:
    """Snakemake has no record of what a job has finished after a kill; the next call takes it only if it is right."""
    workflow = copy.workflow
    copy.type(shlex.join(["snakemake", *workflow.arguments, "--cleanup-metadata", workflow.target]))
    call = copy.on_slurm(workflow.target, profile=profile)
    orphan = copy.freeze(call)
    call.kill()
    os.kill(orphan, signal.SIGCONT)
    assert wait_until(lambda: not copy.scripts() and workflow.target in copy.files(), 60)
    copy.type(shlex.join(["snakemake", "--unlock", "--cores", "1", *workflow.arguments]))

    assert "pre-training on glyphs" in after_edit(copy)
    finish(copy, expected, profile)
    assert "nothing to compute" in (copy.folder / workflow.log).read_text()


def lost_in_a_whole_run(copy: WorkingCopy, expected: dict[str, bytes], profile: str, mishap) -> None:
    """Slurm ends a job in a call for everything: the same call again makes it, and what follows from it."""
    call = copy.on_slurm(profile=profile)
    mishap(copy, call, copy.freeze(call))
    status, _ = call.finish()
    assert status != 0
    assert copy.workflow.target not in copy.files()
    status, text = copy.on_slurm(profile=profile).finish(600)
    assert status == 0, text
    made = copy.files()
    assert made.keys() == expected.keys()
    assert not {path for path in made if made[path] != expected[path] and not is_measured(path)}
    _, text = copy.on_slurm("--dry-run", profile=profile).finish()
    assert "Nothing to be done" in text


def after_edit(copy: WorkingCopy) -> str:
    """Return what a dry run says while the settings of the interrupted stage are other ones."""
    settings = copy.folder / "config/tiny.yaml"
    unchanged = settings.read_text()
    settings.write_text(unchanged.replace("pretrain: {rounds: 3", "pretrain: {rounds: 4"))
    assert settings.read_text() != unchanged
    _, text = copy.locally(copy.workflow.target, "--dry-run").finish()
    settings.write_text(unchanged)
    return text


def documented_recovery() -> str:
    """The commands of docs/slurm.md for a run that was killed, without the last one: the same call again."""
    section = (ROOT / "docs" / "slurm.md").read_text().partition("## Resuming a killed run")[2]
    *commands, again = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].strip().splitlines()
    assert again == "snakemake --workflow-profile profiles/slurm"
    return "\n".join(commands)


CASES = {
    "script killed": (lost_job, kill_script, "FAILED"),
    "job cancelled": (lost_job, cancel, "CANCELLED"),
    "time limit": (lost_job, run_out_of_time, "TIMEOUT"),
    "node down": (lost_job, lose_node, "NODE_FAIL"),
    "snakemake killed": (killed_run,),
    "interrupted": (interrupted_run,),
    "orphan left alone": (orphan_and_rerun,),
    "unseen orphan": (unseen_orphan,),
    "time limit in a whole run": (lost_in_a_whole_run, run_out_of_time),
    "killed in a whole run": (lost_in_a_whole_run, kill_script),
    "stage out of memory": (lost_job, run_out_of_memory, "FAILED"),
    "job out of memory": (lost_job, run_out_of_memory_itself, "OUT_OF_MEMORY"),
    "out of memory in a whole run": (lost_in_a_whole_run, run_out_of_memory),
}
# In a whole run, at the stages after the first one, too.
RUN = "default/glyphs/seed-1/excluded"
LATER = {
    "attack": (f"{RUN}/attacked.safetensors", f"{RUN}.log"),
    "meta_train_after": (f"{RUN}/after.safetensors", f"{RUN}.log"),
    "evaluate": (f"{RUN}/evaluate/client-2.csv", f"{RUN}/client-2.log"),
    "adapt": (f"{RUN}/adapt/matching/client-2/attacked.csv", f"{RUN}/matching/client-2/attacked.log"),
}
STAGES = {
    rule: replace(TINY, rule=rule, script=f"{rule}.py", target=f"results/{target}", log=f"logs/{rule}/{log}")
    for rule, (target, log) in LATER.items()
}
AT_STAGES = {
    f"{how} at {rule}": (lost_in_a_whole_run, mishap)
    for rule in STAGES
    for how, mishap in (("time limit", run_out_of_time), ("out of memory", run_out_of_memory))
}
# What continuous integration has no time for.
SLOW = {
    "script killed", "job cancelled", "unseen orphan", "killed in a whole run", "job out of memory",
    "out of memory in a whole run", *AT_STAGES,
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory) -> WorkingCopy:
    """A working copy in which the whole workflow has run on the cluster."""
    copy = WorkingCopy(cluster, TINY, tmp_path_factory.mktemp("slurm") / "run")
    status, text = copy.on_slurm().finish(600)
    assert status == 0, text
    return copy


@pytest.fixture(scope="module")
def outcomes(finished, request):
    """Future of each case that is asked for, all begun."""
    expected = finished.files()
    asked = [item.callspec.params["case"] for item in request.session.items if item.originalname == "test_mishap"]
    with ThreadPoolExecutor(len(asked) or 1) as threads:
        futures = {}
        for name in asked:
            scenario, *details = (CASES | AT_STAGES)[name]
            if "out of memory" in name and not limits_memory():
                continue
            copy = finished.twin(finished.folder.with_name(name.replace(" ", "-")))
            copy.workflow = STAGES.get(name.rpartition(" at ")[2], TINY)
            target = copy.folder / copy.workflow.target
            for path in (target, kept(target), record_of(target)):
                path.unlink()
            # The only GPU would make the cases wait for one another, and the orphan's rerun for the orphan.
            profile = "profiles/slurm" if lose_node in details else profile_without_gpu(copy)
            futures[name] = threads.submit(scenario, copy, expected, profile, *details)
        yield futures


def profile_without_gpu(copy: WorkingCopy) -> str:
    """The profile as docs/slurm.md says to edit it for a cluster without GPUs, in the working copy."""
    profile = yaml.safe_load((copy.folder / "profiles/slurm/config.yaml").read_text())
    rule = copy.workflow.rule
    profile["set-resources"][rule] |= {"slurm_partition": "cpu", "gpu": 0}
    profile["set-threads"] = {rule: 2}
    (copy.folder / "profiles/cpu").mkdir()
    (copy.folder / "profiles/cpu/config.yaml").write_text(yaml.safe_dump(profile))
    return "profiles/cpu"


@pytest.mark.usefixtures("outcomes")  # they wait, and this computes meanwhile
def test_a_run_on_slurm_gives_the_bytes_of_a_local_run(cluster, finished, tmp_path):
    copy = WorkingCopy(cluster, TINY, tmp_path / "run")
    status, text = copy.locally().finish(600)
    assert status == 0, text
    on_slurm, here = finished.files(), copy.files()
    assert on_slurm.keys() == here.keys()
    assert {path for path in here if on_slurm[path] != here[path]} <= {path for path in here if is_measured(path)}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES | AT_STAGES]
)
def test_mishap(outcomes, case):
    if case not in outcomes:
        pytest.skip("jobs cannot be held to their memory here: that takes cgroups of version 1")
    outcomes[case].result()
