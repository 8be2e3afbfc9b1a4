"""The output of a dry run -> the stages that would run, grouped by reason.

snakemake --dry-run | python workflow/why.py
"""

import ast
import re
import sys

JOB = re.compile(r"^Job \d+: (.*)\nReason: (.*)$", re.MULTILINE)
PARAMS = re.compile(r"Params have changed.*? before: (.*) now: (.*)")
CODE = re.compile(r"(\S+\.py) [0-9a-f]+")
DONE = "All figures and tables are there"  # the message of rule all, which makes nothing
FOLLOWS = "depends on what runs again"
WORDS = {
    "Missing output files": "not made yet",
    "Incomplete output files": "interrupted",
    "Forced execution": "missing, changed by hand, or not on record",
    "Input files updated by another job": FOLLOWS,
}


def jobs_by_reason(text: str) -> dict[str, list[str]]:
    """Return the jobs of a dry run by the reason in words, those that only follow from others last."""
    jobs: dict[str, list[str]] = {}
    for job, reason in JOB.findall(text):
        if job != DONE:
            jobs.setdefault(reason_in_words(reason), []).append(job)
    return dict(sorted(jobs.items(), key=lambda item: item[0] == FOLLOWS))


def reason_in_words(reason: str) -> str:
    """Return Snakemake's reason, without what is the same for all jobs."""
    if params := PARAMS.search(reason):
        return ", ".join(changes(*map(values, params.groups())))
    return WORDS.get(reason.partition(":")[0], reason)


def values(text: str) -> list:
    """Return the values of a job's params that Snakemake lists: those that were, or are now, but not both."""
    return [] if text.strip() == "<nothing exclusive>" else ast.literal_eval(f"[{text}]")


def changes(before: list, now: list) -> list[str]:
    """Return in words which settings and which Python files have changed."""
    said = [f"{name} has changed" for name in sorted({CODE.fullmatch(code)[1] for code in codes(before) ^ codes(now)})]
    before, now = ([value for value in side if not codes([value])] for side in (before, now))
    for new in now:
        old = next((old for old in before if same_keys(old, new)), None)
        if old is None:
            said.append(f"now {new}")
        elif isinstance(new, dict):
            old, new = flat(old, method_of(old, new)), flat(new, method_of(old, new))
            said += [f"{key}: {old.get(key)} -> {new.get(key)}" for key in old | new if old.get(key) != new.get(key)]
        else:
            said.append(f"{old} -> {new}")
    return said or ["fewer settings are read"]


def flat(settings: dict, section: str = "") -> dict:
    """Return the settings by their names, `section.key`."""
    named = {}
    for key, value in settings.items():
        named |= flat(value, f"{section}{key}.") if isinstance(value, dict) else {f"{section}{key}": value}
    return named


def method_of(old: dict, new: dict) -> str:
    """Return the prefix for the options of a method: the method's name, if it is still the same."""
    method = str(new.get("method", ""))
    return f"{method.rpartition('/')[2].removesuffix('.py')}." if method and old.get("method") == method else ""


def codes(values: list) -> set[str]:
    """Return the versions of Python files, in values that are params or mappings of them."""
    each = [inner for value in values for inner in (value.values() if isinstance(value, dict) else [value])]
    return {value for value in each if isinstance(value, str) and CODE.fullmatch(value)}


def same_keys(old: object, new: object) -> bool:
    """Tell whether two values can be the same param: mappings with the same keys, options, or neither a mapping.

    Another method has other options.
    """
    old_keys, new_keys = (set(each) if isinstance(each, dict) else None for each in (old, new))
    return old_keys == new_keys or bool(old_keys and new_keys and "method" in old_keys & new_keys)


def main() -> int:
    text = sys.stdin.read()
    jobs = jobs_by_reason(text)
    for reason, those in jobs.items():
        print(f"{reason}:", *sorted(those), sep="\n    ")
    if not jobs and "Nothing to be done" in text:
        print("nothing would run: all is up to date")
    return 0 if jobs or "Nothing to be done" in text else 1


if __name__ == "__main__":
    sys.exit(main())
