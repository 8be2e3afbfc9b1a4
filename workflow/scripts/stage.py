"""What the stages share: the log, one-line errors, and the objects that their inputs and params describe."""

import logging
import sys
from collections.abc import Callable

from fedmeta.errors import FedmetaError


def run(main: Callable, job) -> None:
    """Run `main(job)`, `job` being Snakemake's; a FedmetaError ends it with one line on stderr and in the log."""
    handlers = [logging.StreamHandler(), logging.FileHandler(job.log[0], "w")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    try:
        main(job)
    except FedmetaError as error:
        logging.error("error: %s", error)
        sys.exit(1)


def open_data(job):
    """Return (bank, split): the images and the role of each."""
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.splits import Split, read_split

    bank = ImageBank.open(job.input.images, job.input.classes)
    return bank, Split(read_split(job.input.split), bank)
