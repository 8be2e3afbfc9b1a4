"""Errors that a user can mend; everything else is a bug and keeps its traceback."""


class FedmetaError(Exception):
    """One line that names what is wrong and what to do about it."""
