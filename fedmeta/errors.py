"""Errors that a user can fix; everything else is a bug and keeps its traceback."""

import re

# Control characters, line separators, and what Python makes of bytes that are not UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class FedmetaError(Exception):
    """One line that names what is wrong and what to do about it."""

    def __init__(self, message: str) -> None:
        """File names in the message may contain line breaks, or bytes that are not UTF-8: they are escaped."""
        super().__init__(_UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), message))
