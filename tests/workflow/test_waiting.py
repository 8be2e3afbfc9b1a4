"""When Snakemake's scheduler wakes up."""

from types import SimpleNamespace

import pytest
from helpers.project import ROOT, snakemake

from workflow.lib import guard

SHORT_JOBS = 12
# Short jobs, and then two that need both cores: one runs while the other waits.
WORKFLOW = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})
from workflow.lib import guard

onstart:
    guard.let_wait(workflow)

rule all:
    input: "long-1", "long-2", expand("short-{{k}}", k=range({SHORT_JOBS}))

rule short:
    output: touch("short-{{k}}")
    priority: 1

rule long:
    output: touch("long-{{k}}")
    threads: 2
    shell: "sleep 2"
"""


def test_the_scheduler_wakes_up_when_a_job_ends_and_not_otherwise(tmp_path):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    run = snakemake(tmp_path, "--verbose")
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("Ready jobs:") <= SHORT_JOBS + 4


@pytest.mark.parametrize(("limit", "left"), [((100, 1), False), ((10, 1), True), ((100, 60), True)])
def test_a_limit_of_the_callers_own_is_kept(limit, left):
    limiter = SimpleNamespace(max_jobs=limit[0], timespan=limit[1])
    scheduler = SimpleNamespace(job_rate_limiter=limiter)
    guard.let_wait(SimpleNamespace(scheduler=scheduler))
    assert (scheduler.job_rate_limiter is limiter) == left
