"""A kind of figure in a file of the user's own: the one that docs/extending.md shows."""

import re

import pytest
from helpers.drawn_metrics import MATCHING, metrics
from helpers.project import ROOT
from helpers.setups import draw

from fedmeta import plugins
from fedmeta.errors import FedmetaError


@pytest.fixture
def source():
    section = re.search(r"^## Figure$(.*?)^## ", (ROOT / "docs/extending.md").read_text(), re.S | re.M)[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    return code


@pytest.fixture
def table(source, tmp_path):
    (tmp_path / "lifts.py").write_text(source)
    entry = {"kind": str(tmp_path / "lifts.py"), "defences": ["matching"], "cases": ["a"]}
    return {"figure_table": {"lifts": entry}}


def test_it_is_short_and_draws_what_it_says(source, table, tmp_path):
    assert len(source.splitlines()) < 40
    frame = metrics(MATCHING)
    last = frame[(frame.step == 100) & (frame.case == "a") & frame.metric.str.startswith("attack")]
    lift = 100 * (last.value[last.model == "attacked"].mean() - last.value[last.model == "clean"].mean())
    figure = draw("lifts", frame, tmp_path / "figure", table)
    (bar,) = figure.axes[0].patches
    assert bar.get_height() == pytest.approx(lift)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["matching"]


def test_its_files_are_the_same_for_the_same_rows(table, tmp_path):
    for stem in ("one", "two"):
        draw("lifts", metrics(MATCHING).sample(frac=1), tmp_path / stem, table)
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_kinds_of_the_package_are_modules_with_options_and_helpers_are_none():
    kinds = ["arena", "by_class", "embedding", "frontier", "glance", "half_life", "over_delta", "over_iterations"]
    kinds += ["over_option", "over_orders", "over_rounds", "scenarios", "side_by_side"]
    assert plugins.names("figure") == kinds
    with pytest.raises(FedmetaError, match="no figure called 'panels'"):
        plugins.load("figure", "panels")
    needs = {
        kind: [n for n in ("ROUNDS", "MODELS", "DETAILS", "ACROSS") if plugins.constant("figure", kind, n, False)]
        for kind in kinds
    }
    assert {kind: need for kind, need in needs.items() if need} == {
        "arena": ["ACROSS"],
        "by_class": ["DETAILS"],
        "embedding": ["DETAILS"],
        "frontier": ["ACROSS"],
        "glance": ["DETAILS"],
        "half_life": ["ROUNDS", "ACROSS"],
        "over_delta": ["MODELS"],
        "over_option": ["ACROSS"],
        "over_rounds": ["ROUNDS"],
        "scenarios": ["ROUNDS", "ACROSS"],
    }
