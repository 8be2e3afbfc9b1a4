"""What all stages share: the log, the lock on what they make, kept results, errors in one line, an orderly end."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the library of this working copy, whatever is installed

import psutil

from fedmeta.errors import FedmetaError
from fedmeta.files import disk_errors, exclusive, remove_leftovers
from fedmeta.made import Work
from workflow.lib.code import Code
from workflow.lib.times import add_earlier, set_aside

logger = logging.getLogger(__name__)


def run(main: Callable, job, keep: bool = True) -> None:
    """Run `main(job)` for Snakemake's `job`; a FedmetaError ends it with one line on stderr and in the log.

    So do SIGINT, SIGTERM and the end of Snakemake itself; nothing half-written is left. If the outputs have been made
    before with the same settings, code and inputs, they are put in place instead. `keep`: False for a stage whose
    outputs depend on more than that.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=follow, args=(int(os.environ["FEDMETA_SNAKEMAKE"]),), daemon=True).start()
    job.rule = Path(job.log[0]).parts[1].removesuffix(".log")  # a workflow that uses this one may rename it
    logging.raiseExceptions = False  # a log that cannot be written does not stop the stage
    try:
        with disk_errors(job.log[0]):
            handlers = [logging.StreamHandler(), logging.FileHandler(job.log[0])]
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
        with exclusive(job.output[0]):
            for output in job.output:
                remove_leftovers(output)
            make(main, job, keep)
    except FedmetaError as error:
        logging.error("error: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logging.error("error: stopped by a signal: run again to resume")
        sys.exit(1)


def make(main: Callable, job, keep: bool) -> None:
    """Put the outputs in place, or make and keep them."""
    work = Work(identity(job), job.input, job.output)
    there = keep and work.restore()
    with disk_errors(job.log[0]):
        set_aside(job.log[0], computed=not there)
    if there:
        logger.info("an earlier run with the same settings, code and inputs has made the result: nothing to compute")
    else:
        main(job)
        add_earlier(job.log[0], sum(each.earlier for each in getattr(job, "unfinished", [])))
        work.keep(reusable=keep and code_is_unchanged(job))


def code_is_unchanged(job) -> bool:
    """Tell whether the Python files are still as at the start of the run, by the job's params."""
    versions = [*job.params.code.values(), *job.params.get("methods", {}).values()]
    return Code().unchanged(versions)


def identity(job) -> dict:
    """Return what a job's outputs depend on besides its inputs, whatever its scenario and defence are called."""
    wildcards = {name: value for name, value in job.wildcards.items() if name not in ("scenario", "defence")}
    return {"rule": job.rule, "wildcards": wildcards, "params": dict(job.params.items())}


def follow(snakemake: int) -> None:
    """End this process soon after Snakemake's has ended, however that happened: no orphan keeps computing."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(snakemake)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
