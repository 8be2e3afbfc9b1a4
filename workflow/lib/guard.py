"""The interface to Snakemake: what a call does before the jobs are known, when they are known, and after a failure."""

import contextlib
import functools
import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jinja2.defaults import DEFAULT_NAMESPACE
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile
from snakemake.logging import logger

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.files import abandoned
from fedmeta.settings import check, lay, with_table
from workflow.lib import preflight
from workflow.lib.again import FOLDERS, doubts, set_clock
from workflow.lib.code import Code
from workflow.lib.homes import Homes, write_homes
from workflow.lib.jobs import Jobs, typed
from workflow.lib.raw_data import RawData
from workflow.lib.report_marks import Marks
from workflow.lib.report_words import METRICS, MOST_ROWS, Words

# Each of these stages waits for the one before it, so a job of theirs starts before any evaluation that could.
FIRST = ("resize", "augment", "split", "stamp", "pretrain", "attack", "meta_train_after")
LIFT = (
    "Attack lift: attack accuracy above that of the model before the attack, on images that the attacker trained on / "
    "on others.\nFigures: results/figures/   tables: results/tables/   all metrics: results/metrics.csv"
)


def one_line(check: Callable, *arguments) -> None:
    """Call a check; a FedmetaError becomes Snakemake's own kind of error, which it shows as one line."""
    try:
        check(*arguments)
    except FedmetaError as error:
        raise WorkflowError(str(error)) from None


def complete_config(workflow, config: Mapping) -> dict:
    """Return the whole config, checked: its files laid over one another and over the paper's table.

    Snakemake has already merged the files, but does not know that a method's options go when another one is named. If
    another workflow uses this one as a module, `config` is what it gives, laid over config.yaml.
    """
    if is_module(workflow):
        files, layers = [], [load_configfile(plugins.ROOT / "config.yaml"), config]
    else:
        above, files = list(workflow.config_settings.configfiles), workflow.configfiles
        layers = [load_configfile(file) for file in (*files[len(above) :], *above)]
        for key, value in workflow.config_settings.config.items():
            layers.append({key: value if isinstance(value, str) else typed(value)})
    laid = with_table(functools.reduce(lay, layers, {}))
    one_line(check, laid, files)
    return laid


def is_module(workflow) -> bool:
    """Tell whether another workflow uses this one as a module. Raises WorkflowError if it wants other paths."""
    if workflow.modifier.is_main_snakefile():
        return False
    if workflow.modifier.modify_path("results/") != "results/":
        raise WorkflowError("fedmeta, used as a module, keeps its paths: give it no prefix and no replace_prefix")
    return True


def one_of(names: Iterable[str]) -> str:
    """Return the constraint for a wildcard that must be one of the names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def before_all(workflow, jobs: Jobs, homes: Homes, raw: RawData, code: Code, marks: Marks) -> None:
    """Raise WorkflowError for what would end the run late. Jobs that run in processes of their own are not checked.

    Give `words` to the templates of the report's captions: Snakemake gives them only what a job is given.
    """
    os.environ.update(FEDMETA_SNAKEMAKE=str(os.getpid()))  # stages end when this process does
    # Collect garbage less often, as the graph of jobs stays to the end: dry runs 8% faster.
    gc.set_threshold(100_000)
    if workflow.is_main_process:
        one_line(preflight.check_place, os.getcwd())
        one_line(preflight.check_data, jobs, homes, raw, code)
        DEFAULT_NAMESPACE["words"] = Words(marks)


def complete_rules(workflow, code: Code) -> None:
    """Give each rule with a script the environment and the param `code`, and those of `FIRST` priority.

    `code` has the versions of the script and of the modules that it reaches. It is a param, not an input: what counts
    is the content at the start of the run, not a modification time, and not an edit made while the stage runs.
    """
    for rule in workflow.modifier.rules:  # not those of a workflow that uses this one
        if rule.script:
            rule.set_params(code=code.of_rule(rule.script))
            rule.conda_env = "../envs/fedmeta.yaml"
            rule.priority = int(Path(rule.script).stem in FIRST)
    code.save()


def remake(workflow) -> Callable[[object], list[str]]:
    """Return a function for the input of the first rule: it asks for no file, but forces those in doubt to be made.

    It does what `--forcerun` does, without making these files targets of the call: only those that the targets depend
    on are made again. Snakemake asks for the first rule's input whatever the targets are, before it decides what to
    run.
    """
    looked = []

    def nothing(wildcards) -> list[str]:
        if workflow.is_main_process and workflow.dag is not None and not looked:
            looked.append(True)
            try:
                force(workflow)
            except Exception:  # Snakemake would ignore it, and say that nothing is to be done about stale files
                logger.error(traceback.format_exc())
                sys.exit(1)
        return []

    return nothing


def force(workflow) -> None:
    """Have the files in doubt made again."""
    found = doubts(lambda path: workflow.persistence.metadata(IOFile(path)) is not None)
    workflow.dag.forcefiles.update(found)
    for path, problem in found.items():
        if problem in ("has changed since it was made", "cannot be read"):
            logger.warning(f"{path} {problem}: it is made again, with all that depends on it")


def let_wait(workflow) -> None:
    """Let Snakemake's scheduler sleep until a job ends, unless the call limits how many jobs start in a time.

    By default it lets 100 jobs start per second. To see whether more may start, it wakes up a second after it last did.
    Each end of a job wakes it, too, and so adds one more waking per second for as long as jobs wait: after some hundred
    jobs that takes half a core.
    """
    limit = workflow.scheduler.job_rate_limiter
    if limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def before_jobs(homes: Homes, inputs: Iterable[str]) -> None:
    """Raise WorkflowError for a folder that cannot be written; set modification times in the future to now.

    Then record which scenario keeps what.
    """
    one_line(preflight.check_folders)
    one_line(write_homes, homes.record())
    for path in set_clock(inputs):
        logger.warning(f"{path} had a modification time in the future: it is set to now")


def after_success(workflow, jobs: Jobs) -> None:
    """Say what the whole run found, and where that is; nothing if a call was for a part of it, or computed nothing."""
    if workflow.is_main_process and any(METRICS in job.output for job in workflow.dag.jobs):
        from fedmeta.reporting.outcomes import as_text, outcomes, sample_of  # SciPy, which a dry run does without
        from fedmeta.reporting.results import read_metrics

        with contextlib.suppress(FedmetaError):  # after `--touch` there may be no metrics
            metrics, variants = read_metrics(METRICS), jobs.variants()
            if sample := sample_of(metrics, variants):
                found = as_text(outcomes(metrics, variants), MOST_ROWS)
                logger.info(f"\nWhat was found, with 95% intervals; {sample}:\n\n{found}\n\n{LIFT}")


def after_failure() -> None:
    """Report which stages were killed: all that they leave behind is a lock."""
    for path in abandoned(FOLDERS):
        logger.error(
            f"error: the stage that makes {path} was killed, probably out of memory: lower threads, free some memory, "
            "or on Slurm raise mem_mb, and run again"
        )
