"""What all stages share: the log, the lock on what they make, errors in one line."""

import logging
import sys
from collections.abc import Callable

from fedmeta.errors import FedmetaError
from fedmeta.files import exclusive


def run(main: Callable, job) -> None:
    """Run `main(job)`, `job` being Snakemake's; a FedmetaError ends it with one line on stderr and in the log."""
    handlers = [logging.StreamHandler(), logging.FileHandler(job.log[0])]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    try:
        with exclusive(job.output[0]):
            main(job)
    except FedmetaError as error:
        logging.error("error: %s", error)
        sys.exit(1)
