"""Progress of long work: a bar on a terminal, plain lines in a log."""

import logging
import sys
import time

from tqdm import tqdm

logger = logging.getLogger(__name__)


class Progress:
    """Counts episodes towards `total`; says episodes/s and the latest note in the log every `interval` seconds."""

    def __init__(self, what: str, total: int, done: int = 0, interval: float = 15.0):
        self.total, self.what, self.done, self.interval = total, what, done, interval
        self.began = self.said = time.monotonic()
        self.before = done
        self.bar = tqdm(total=total, initial=done, desc=what, unit="ep", disable=not sys.stderr.isatty(), leave=False)

    def advance(self, episodes: int, note: str) -> None:
        """Count `episodes` more; `note` tells how it goes, such as the accuracy so far."""
        self.done += episodes
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(episodes)
        now = time.monotonic()
        if now - self.said >= self.interval or self.done == self.total:
            self.said = now
            rate = (self.done - self.before) / max(now - self.began, 1e-9)
            logger.info("%s: %d of %d episodes, %.1f episodes/s, %s", self.what, self.done, self.total, rate, note)
        if self.done == self.total:
            self.bar.close()
