"""Which files a call must make again although Snakemake, which looks at times and its own records, may not notice.

After a stage has failed, Snakemake has deleted its output and recorded its new settings. It no longer asks for the
missing output if what was made from it is there. So each call looks at what the stages themselves have recorded.
"""

import os
import time
from collections.abc import Callable, Iterable

from fedmeta.made import Made, Output, records
from workflow.lib.digests import Digests

FOLDERS = ("data/prepared", "results")


def doubts(recorded: Callable[[str], bool], folders: Iterable[str] = FOLDERS) -> dict[str, str]:
    """Return the files to make again, each with the reason. `recorded` tells whether Snakemake has a record of a file.

    They are: outputs that are missing, that cannot be read, that have changed since they were made, or that have no
    record; inputs that are missing; and outputs made from something other than what is there now.
    """
    digests, all_made = Digests("sha256"), list(records(folders))
    found: dict[str, str] = {}
    content: dict[str, str] = {}
    for made in all_made:
        for path, output in made.outputs.items():
            if not os.path.exists(path):
                found[path] = "is missing"
                continue
            try:
                content[path] = _content(path, output, digests)
            except OSError:
                found[path] = "cannot be read"
                continue
            if content[path] != output.sha256:
                found[path] = "has changed since it was made"
            elif not recorded(path):
                found[path] = "is not on record"
    for made in all_made:
        for path, sha256 in made.inputs.items():
            if not os.path.exists(path):
                found.setdefault(path, "is missing")
            elif content.get(path, sha256) != sha256:
                found.setdefault(next(iter(made.outputs)), f"was made from another {path}")
    digests.save()
    return found


def is_as_made(made: Made) -> bool:
    """Tell whether all outputs of a job are there, as it made them."""
    digests = Digests("sha256")
    try:
        return all(_content(path, output, digests) == output.sha256 for path, output in made.outputs.items())
    except OSError:
        return False
    finally:
        digests.save()


def _content(path: str, output: Output, digests: Digests) -> str:
    """Return the hash of a file's current content. Raises OSError if it cannot be read."""
    return output.sha256 if output.untouched(path) else digests.of(path)


def set_clock(files: Iterable[str], folders: Iterable[str] = FOLDERS) -> list[str]:
    """Set modification times in the future to now, and return the files that had one.

    Snakemake deletes what is made from such a file, because it is older than its input.
    """
    outputs = (path for made in records(folders) for path in made.outputs)
    late = [path for path in (*files, *outputs) if os.path.exists(path) and os.path.getmtime(path) > time.time()]
    for path in late:
        os.utime(path)
    return late
