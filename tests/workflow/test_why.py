"""`make why`: jobs by reason, each with its scenario, and changes of settings and options by their names."""

from pathlib import Path

import pytest
from helpers.project import ROOT
from snakemake.persistence import ParamsChange

from workflow.why import jobs_by_reason

SETTINGS = {"evaluation": {"shot": 5, "queries": 15}, "reptile": {"way": 5}}
MATCHING = {"method": "matching", "delta": 0.3, "gates": True, "iterations": [0, 5]}
FINE_TUNING = {"method": "fine_tuning", "delta": None, "iterations": [0, 5]}


def said(before: list, now: list) -> list[str]:
    """Return why a job with these params before and now would run."""
    old, new = ({repr(each) for each in side} for side in (before, now))
    change = ParamsChange(only_old=frozenset(old - new), only_new=frozenset(new - old), files=frozenset(["f"]))
    reason = f"Params have changed since last execution: {change}"
    [(words, jobs)] = jobs_by_reason(f"Job 3: weak: matching on glyphs, seed 1\nReason: {reason}\n").items()
    assert jobs == ["weak: matching on glyphs, seed 1"]
    return words.split(", ")


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ([SETTINGS], [SETTINGS | {"reptile": {"way": 3}}], ["reptile.way: 5 -> 3"]),
        ([SETTINGS, MATCHING], [SETTINGS, MATCHING | {"delta": 0.5}], ["matching.delta: 0.3 -> 0.5"]),
        (
            [SETTINGS, MATCHING],
            [SETTINGS | {"reptile": {"way": 3}}, MATCHING | {"gates": False}],
            ["matching.gates: True -> False", "reptile.way: 5 -> 3"],
        ),
        (
            [MATCHING],
            [FINE_TUNING],
            ["delta: 0.3 -> None", "gates: True -> None", "method: matching -> fine_tuning"],
        ),
        (
            [{"method": "my/attacks/slow.py", "strength": 1}],
            [{"method": "my/attacks/slow.py", "strength": 2}],
            ["slow.strength: 1 -> 2"],
        ),
        (
            [SETTINGS, {"fedmeta/defences/matching.py": "fedmeta/defences/matching.py 0123abc"}, 1],
            [SETTINGS, {"fedmeta/defences/matching.py": "fedmeta/defences/matching.py 4567def"}, 2],
            ["1 -> 2", "fedmeta/defences/matching.py has changed"],
        ),
        ([SETTINGS, 1], [SETTINGS], ["fewer settings are read"]),
        ([SETTINGS], [SETTINGS, "x"], ["now x"]),
    ],
)
def test_changes_are_told_by_name(before, now, words):
    assert sorted(said(before, now)) == words


def test_jobs_are_gathered_by_reason_and_those_that_only_follow_come_last():
    text = "".join(
        f"Job {number}: {scenario}: attacking on glyphs\nReason: {reason}\n\n"
        for number, (scenario, reason) in enumerate(
            [
                ("plain", "Input files updated by another job: data/a"),
                ("weak", "Missing output files: results/b"),
                ("strong", "Missing output files: results/c"),
            ]
        )
    )
    assert list(jobs_by_reason(text).items()) == [
        ("not made yet", ["weak: attacking on glyphs", "strong: attacking on glyphs"]),
        ("depends on what runs again", ["plain: attacking on glyphs"]),
    ]


def test_the_message_of_every_job_of_a_scenario_begins_with_it():
    messages = [
        line.strip().strip('"')
        for path in sorted(Path(ROOT, "workflow/rules").glob("*.smk"))
        for line in path.read_text().splitlines()
        if "{wildcards." in line and line.startswith("        ")
    ]
    without = [message for message in messages if not message.startswith("{wildcards.scenario}: ")]
    assert len(messages) > 12
    assert without == [
        "Making a page of the table {wildcards.table}",
        "Comparing the scenarios on {wildcards.dataset}: figure {wildcards.figure}",
    ]


def test_the_rule_that_asks_for_everything_is_no_stage():
    text = "Job 0: All figures and tables are there\nReason: Input files updated by another job: x\n"
    assert "All figures and tables are there" in (ROOT / "Snakefile").read_text()
    assert jobs_by_reason(text) == {}
