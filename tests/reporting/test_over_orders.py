"""The figure of the attack with both orders of the victim's classes."""

import math

import pandas as pd
import pytest
from helpers.hand_made_metrics import measured
from helpers.setups import draw

from fedmeta.errors import FedmetaError


@pytest.fixture
def frame():
    accuracy = {"main_task": 0.9, "meta_testing": 0.95}
    parts = []
    for defence, attack in (("target-last", 1.0), ("target-random", 0.3)):
        attacked = {**accuracy, "attack_training": attack, "attack_validation": attack - 0.1}
        parts += [measured(("fine_tuning", defence, math.nan), step, attacked, cases="ab") for step in (0, 50)]
    return pd.concat(parts, ignore_index=True)


def test_each_order_has_its_panel_in_each_case(frame, tmp_path):
    figure = draw("order", frame, tmp_path / "figure")
    assert len(figure.axes) == 4  # cases (a) and (b), each with both orders side by side
    for axes, attack in zip(figure.axes, [100, 30, 100, 30], strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert lines["attack training"].get_ydata() == pytest.approx([attack, attack])
        assert lines["attack validation"].get_ydata() == pytest.approx([attack - 10, attack - 10])
        assert lines["training, before attack"].get_ydata() == pytest.approx([20, 20])
        assert f"{attack - 20:+d}" in axes.get_title(loc="right")
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [
        "target at the last output",
        "classes in random order",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "figure.svg"}


@pytest.mark.parametrize(
    ("trained", "said"), [("last", "knows the victim's order"), ("random", "in random order, too")]
)
def test_the_caption_says_what_the_attacker_assumes(frame, tmp_path, trained, said):
    figure = draw("order", frame, tmp_path / "figure", {"attack": {"target_output": trained}})
    assert said in figure.get_supxlabel()


def test_an_order_that_was_not_evaluated_is_an_error(frame, tmp_path):
    with pytest.raises(FedmetaError, match="target-random"):
        draw("order", frame[frame.defence == "target-last"], tmp_path / "figure")
    assert list(tmp_path.iterdir()) == []


def test_defences_of_ones_own_figure_stand_side_by_side(frame, tmp_path):
    own = {"kind": "over_iterations", "defences": ["target-random", "target-last"], "cases": ["b"], "title": "mine"}
    figure = draw("own", frame, tmp_path / "figure", {"figure_table": {"own": own}})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["target-random", "target-last"]
    lasts = [{line.get_label(): line for line in axes.get_lines()}["attack training"] for axes in figure.axes]
    assert [line.get_ydata()[-1] for line in lasts] == pytest.approx([30, 100])
    assert figure.legends[0].get_title().get_text().startswith("Omniglot: mine")
