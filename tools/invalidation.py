"""What Snakemake would run again after an edit: measured by dry runs in a copy of the project.

    python tools/invalidation.py

rewrites the tables of docs/caching.md.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Set
from pathlib import Path

from finished import KEYS, Finished  # first: it makes the project's own modules known
from helpers.project import ROOT

DOCUMENT = ROOT / "docs/caching.md"
TABLES = ("aggregate", "summary", "comparison", "run_times", "paper_against_ours", "page")
FIGURES = ("figure", "figure_across")
RULES = (
    *("resize", "augment", "split", "stamp", "contact_sheet", "pretrain", "attack", "meta_train_after"),
    *("repair", "evaluate", "adapt", "detail", "kernel_norms", "aggregation", *TABLES, *FIGURES),
)
WORDS = {"tables": TABLES, "figures": FIGURES}
# What only readers of data sets other than glyphs reach; everything is measured on glyphs.
READERS = {
    dataset: [f"fedmeta/data/{module}" for module in re.findall(r"`([\w/]+\.py)`", modules)]
    for dataset, modules in re.findall(
        r"^\| `(omniglot|mini_imagenet|image_folder)` \| (.*) \|$", DOCUMENT.read_text(), re.M
    )
}
OTHER_READERS = set().union(*READERS.values())
MODULES = sorted({path.relative_to(ROOT).as_posix() for path in (ROOT / "fedmeta").rglob("*.py")} - OTHER_READERS)


def table(heading: str, reruns: Mapping[str, Counter]) -> str:
    """Return a Markdown table of what is edited and the rules that run again, edits with the same rules in one row."""
    rows: dict[frozenset, list[str]] = {}
    for name, jobs in reruns.items():
        rows.setdefault(frozenset(jobs), []).append(f"`{name}`")
    lines = [f"| {heading} | runs again |", "| --- | --- |"]
    for rules in sorted(rows, key=lambda rules: [rule not in rules for rule in RULES]):
        lines.append(f"| {', '.join(rows[rules])} | {in_words(rules)} |")
    return "\n".join(lines)


def in_words(rules: Set[str]) -> str:
    """Return the rules in the order of the data's flow, all tables and all figures as one word."""
    if rules == set(RULES):
        return "all"
    words = [word for word, meant in WORDS.items() if rules >= set(meant)]
    named = rules - {rule for word in words for rule in WORDS[word]}
    return ", ".join([f"`{rule}`" for rule in RULES if rule in named] + words) or "nothing"


def documented(part: str) -> dict[str, set[str]]:
    """Return the table called `part` of docs/caching.md: the rules by what is edited."""
    reruns = {}
    for row in re.findall(r"^\| (`.*) \| (.*) \|$", between(DOCUMENT.read_text(), part)[1], re.M):
        rules = set(RULES) if row[1] == "all" else set(re.findall(r"`(\w+)`", row[1]))
        for word, meant in WORDS.items():
            if word in row[1].split(", "):
                rules |= set(meant)
        reruns |= dict.fromkeys(re.findall(r"`([^`]+)`", row[0]), rules)
    return reruns


def between(text: str, part: str) -> list[str]:
    """Return what comes before, in and after the part of a document that is generated."""
    begin = f"<!-- {part}: written by python tools/invalidation.py -->\n"
    before, rest = text.split(begin)
    inside, after = rest.split("<!-- end -->", 1)
    return [before + begin, inside, "<!-- end -->" + after]


def write_tables() -> None:
    """Measure every key and every module, and write the tables."""
    with tempfile.TemporaryDirectory() as folder:
        finished = Finished(Path(folder))
        tables = {
            "keys": table("key", {key: finished.after_key(key) for key in KEYS if key != "overrides"}),
            "modules": table("module", {path: finished.after_module(path) for path in MODULES}),
        }
    for part, lines in tables.items():
        before, _, after = between(DOCUMENT.read_text(), part)
        DOCUMENT.write_text(f"{before}\n{lines}\n\n{after}")


if __name__ == "__main__":
    write_tables()
