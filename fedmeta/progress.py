"""Progress of long work: a bar on a terminal, plain lines in a log."""

import logging
import sys
import time

from tqdm import tqdm

logger = logging.getLogger(__name__)


class Progress:
    """Counts units of work towards `total`; logs units/s and the latest note every `interval` seconds."""

    def __init__(self, what: str, total: int, done: int = 0, interval: float = 15.0, unit: str = "episodes"):
        self.total, self.what, self.done, self.interval, self.unit = total, what, done, interval, unit
        self.began = self.said = time.monotonic()
        self.before = done
        self.bar = tqdm(
            total=total, initial=done, desc=what, unit=f" {unit}", disable=not sys.stderr.isatty(), leave=False
        )

    def advance(self, units: int, note: str) -> None:
        """Count `units` more; `note` says how it is going, such as the accuracy so far."""
        self.done += units
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(units)
        now = time.monotonic()
        if now - self.said >= self.interval or self.done == self.total:
            self.said = now
            rate = (self.done - self.before) / max(now - self.began, 1e-9)
            counts = f"{self.done} of {self.total} {self.unit}, {rate:.1f} {self.unit}/s"
            logger.info("%s: %s, %s", self.what, counts, note)
        if self.done == self.total:
            self.bar.close()
