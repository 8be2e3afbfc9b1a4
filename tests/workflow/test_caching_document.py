"""The tables of docs/caching.md keep what this project promises, and have each module where Python's imports put it."""

import modulefinder
import os

from finished import ADDING
from helpers.project import ROOT
from invalidation import FIGURES, MODULES, RULES, TABLES, documented

from fedmeta.plugins import FOLDERS, names
from workflow.lib.code import TYPES, UNCOUNTED, Code

TRAINING = {"pretrain", "attack", "meta_train_after"}
REPORTS = {*TABLES, *FIGURES, "aggregation"}
# What each rule takes from others, as in the rules, written down again, in the order of the flow. Some clients adapt a
# model that they have repaired; no figure that compares scenarios shows these.
TAKES_FROM = {
    "resize": [],
    "augment": ["resize"],
    "split": ["resize"],
    "stamp": ["augment", "split"],
    "contact_sheet": ["augment", "split", "stamp"],
    "pretrain": ["augment", "split"],
    "attack": ["pretrain", "stamp"],
    "meta_train_after": ["attack"],
    "repair": ["attack"],
    "evaluate": ["meta_train_after", "stamp"],
    "adapt": ["attack", "stamp"],
    "adapt repaired": ["repair", "stamp"],
    "detail": ["attack", "stamp"],
    "kernel_norms": ["attack"],
    "aggregation": ["meta_train_after"],
    "aggregate": ["evaluate", "adapt", "adapt repaired"],
    "summary": ["aggregate"],
    "comparison": ["aggregate"],
    "run_times": ["aggregate"],
    "paper_against_ours": ["aggregate", "run_times"],
    "page": ["aggregation", "summary", "comparison", "run_times", "paper_against_ours"],
    "figure": ["evaluate", "adapt", "adapt repaired", "detail", "kernel_norms"],
    "figure_across": ["evaluate", "adapt"],
}
# The files of the methods that the rules use here.
METHODS = {
    "resize": ["data/readers/glyphs"],
    "pretrain": ["federation/aggregation/weighted_sum", "learning/meta/reptile"],
    "attack": ["federation/aggregation/weighted_sum", "attacks/one_shot", "learning/meta/reptile"],
    "meta_train_after": ["federation/aggregation/weighted_sum", "attacks/one_shot", "learning/meta/reptile"],
    "repair": ["defences/local_meta_training", "learning/meta/reptile"],
    "adapt": ["defences/fine_tuning", "defences/matching"],
    "detail": ["defences/fine_tuning", "defences/matching"],
    "figure": [f"reporting/figures/{kind}" for kind in ("over_rounds", "over_iterations", "over_orders", "glance")]
    + ["reporting/figures/side_by_side", "reporting/figures/over_delta"],
    "figure_across": ["reporting/figures/scenarios"],
}
# Helpers of methods that no rule uses here.
OF_UNUSED_METHODS = {
    *(f"fedmeta/attacks/{name}.py" for name in ("learning", "on_top", "own_benign")),
    *("fedmeta/federation/aggregation/robust.py", "fedmeta/defences/channels.py", "fedmeta/reporting/judging.py"),
}


def test_the_document_keeps_its_promises():
    keys, modules = documented("keys"), documented("modules")
    for key, rules in keys.items():
        if key in ADDING or key.startswith(("evaluation.", "defences.")):
            assert not rules & TRAINING, key
        if key.startswith(("data.trigger.", "attack.")):
            assert "attack" in rules, key
            assert "pretrain" not in rules, key
    for path, rules in modules.items():
        if path.startswith(("fedmeta/reporting/", "fedmeta/paper/")):
            assert rules <= {*REPORTS, "kernel_norms"}, path
        if path.startswith(("fedmeta/attacks/", "fedmeta/defences/")):
            assert "pretrain" not in rules, path
    assert keys["threads"] == keys["raw_data"] == set()
    # The config is checked before there are rules, and what is said of a mistake reruns nothing. Nor do methods that
    # nobody uses here; the package of readers has nothing in it, and each is found by its name. What is said at the end
    # of a run is in no file.
    expected = {path for path in modules if path.startswith(TYPES)} | UNCOUNTED - {"workflow/scripts/stage.py"}
    used = {f"fedmeta/{method}.py" for methods in METHODS.values() for method in methods}
    others = {f"{FOLDERS[family]}/{name}.py" for family in FOLDERS if family != "reader" for name in names(family)}
    expected |= others - used | OF_UNUSED_METHODS
    expected |= {"fedmeta/data/readers/__init__.py", "fedmeta/reporting/outcomes.py"}
    assert {path for path, rules in modules.items() if not rules} == expected, "no rule reaches a module"


def test_modules_are_those_that_python_would_import(monkeypatch):
    """The standard library's own tracing of imports, and the flow of data written down above, give the same table."""
    reached = {rule: modules_of(rule) for rule in RULES}
    monkeypatch.chdir(ROOT)
    code, modules = Code(), documented("modules")
    assert {rule: code_of(rule, code) for rule in RULES} == reached, "what Snakemake has as the code of each rule"
    for path in MODULES:
        stale = {rule for rule in TAKES_FROM if path in reached[rule.partition(" ")[0]]}
        for rule, others in TAKES_FROM.items():
            if stale.intersection(others):
                stale.add(rule)
        assert modules[path] == {rule.partition(" ")[0] for rule in stale}, path


def files_of(rule: str) -> list[str]:
    """Return the script of a rule, and the methods that it imports by their names."""
    script = f"workflow/scripts/{'figure' if rule == 'figure_across' else rule}.py"
    return [script, *(f"fedmeta/{method}.py" for method in METHODS.get(rule, []))]


def code_of(rule: str, code: Code) -> set[str]:
    return {path for file in files_of(rule) for path in code.versions(file) if path.startswith("fedmeta")}


def modules_of(rule: str) -> set[str]:
    finder = modulefinder.ModuleFinder([str(ROOT / "workflow/scripts"), str(ROOT)], excludes=["workflow"])
    for file in files_of(rule):
        finder.run_script(str(ROOT / file))
    files = [os.path.relpath(module.__file__, ROOT) for module in finder.modules.values() if module.__file__]
    files += files_of(rule)  # each of them was `__main__`
    return {file for file in files if file.startswith("fedmeta") and not file.startswith(TYPES)} - UNCOUNTED
