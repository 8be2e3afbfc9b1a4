"""What all stages share: the log, the lock on what they make, errors in one line, an orderly end."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the library of this working copy, whichever is installed

from fedmeta.errors import FedmetaError
from fedmeta.files import disk_errors, exclusive, remove_leftovers


def run(main: Callable, job) -> None:
    """Run `main(job)`, `job` being Snakemake's; a FedmetaError ends it with one line on stderr and in the log.

    So do SIGINT, SIGTERM and the end of Snakemake itself; nothing half-written is left then.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    logging.raiseExceptions = False  # a log that cannot be written does not stop the stage
    try:
        with disk_errors(job.log[0]):
            handlers = [logging.StreamHandler(), logging.FileHandler(job.log[0])]
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
        with exclusive(job.output[0]):
            for output in job.output:
                remove_leftovers(output)
            main(job)
    except FedmetaError as error:
        logging.error("error: %s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logging.error("error: stopped by a signal: run again to go on")
        sys.exit(1)


def follow(parent: int) -> None:
    """End this process soon after its parent has ended, however that was: no orphan goes on computing."""
    while os.getppid() == parent:
        time.sleep(1)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
