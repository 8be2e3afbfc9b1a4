"""The figure of the attack with both orders of the victim's classes."""

import numpy as np
import pandas as pd
import pytest
from fedmeta.reporting.over_orders import draw_over_orders
from helpers.hand_made_metrics import measured

from fedmeta.errors import FedmetaError

DEFENCES = {"last": "", "random": "target_random"}


@pytest.fixture
def frame():
    accuracy = {"main_task": 0.9, "meta_testing": 0.95}
    parts = []
    for defence, attack in (("", 1.0), ("target_random", 0.3)):
        attacked = {**accuracy, "attack_training": attack, "attack_validation": attack - 0.1}
        parts += [measured(("fine_tuning", defence, np.nan), step, attacked, cases="ab") for step in (0, 50)]
    return pd.concat(parts, ignore_index=True)


def test_each_order_has_its_panel_in_each_case(frame, tmp_path):
    figure = draw_over_orders(frame, "omniglot", DEFENCES, "last", tmp_path / "figure", way=5)
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
def test_the_title_says_what_the_attacker_assumes(frame, tmp_path, trained, said):
    figure = draw_over_orders(frame, "omniglot", DEFENCES, trained, tmp_path / "figure", way=5)
    assert said in figure.legends[0].get_title().get_text()


def test_an_order_that_was_not_evaluated_is_an_error(frame, tmp_path):
    with pytest.raises(FedmetaError, match="target_random"):
        draw_over_orders(frame[frame.defence == ""], "omniglot", DEFENCES, "last", tmp_path / "figure", way=5)
    assert list(tmp_path.iterdir()) == []
