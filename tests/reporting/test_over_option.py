"""Lift and accuracy over a key of the config."""

import pandas as pd
import pytest
from helpers.drawn_metrics import MATCHING, PLAIN, metrics
from helpers.setups import settings, setup_of

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures.over_option import BESIDE, values_of
from fedmeta.reporting.judging import accuracies, lifts
from fedmeta.reporting.setup import About
from fedmeta.settings import lay

FACTORS = {"large": 6, "small": 1.5}
ROUNDS = {"large": 12, "small": 4}


@pytest.fixture(scope="module")
def frame():
    kinds = pd.concat([metrics(kind, cases="a", clients=(2,), steps=(0, 50)) for kind in (PLAIN, MATCHING)])
    attacked = (kinds.model == "attacked") & kinds.metric.str.startswith("attack")
    small = kinds.assign(scenario="small", value=kinds.value.where(~attacked, kinds.value / 2))
    return pd.concat([kinds.assign(scenario="large"), small], ignore_index=True)


def draw(frame, path, factors=FACTORS, **options):
    kind = plugins.load("figure", "over_option")
    attack = {"method": "kernel_inflation"}
    setups = {n: setup_of(lay(settings(), {"attack": {**attack, "factor": each}})) for n, each in factors.items()}
    given = {"kind": "over_option", "defences": ["fine_tuning", "matching"], **options}
    return kind.draw(frame, kind.Options.model_validate(given), About("omniglot", setups), path)


def test_a_line_for_each_defence_goes_through_the_scenarios_by_their_value(frame, tmp_path):
    figure = draw(frame, tmp_path / "figure")
    for axes, table in zip(figure.axes, (lifts, accuracies), strict=True):
        shown = {container.get_label(): container.lines[0].get_xydata() for container in axes.containers}
        assert list(shown) == ["fine_tuning", "matching"]
        for side, (defence, points) in zip((-0.5, 0.5), shown.items(), strict=True):
            expected = table(frame[frame.defence == defence])["mean"]
            assert points[:, 0] == pytest.approx([1.5 * BESIDE**side, 6 * BESIDE**side])
            assert points[:, 1] == pytest.approx([100 * expected["small"], 100 * expected["large"]])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".png", ".svg"]


@pytest.mark.parametrize("key", ["attack.strength", "factor", "attack", "attack.method", "attack.factor.power"])
def test_a_key_at_which_there_is_no_number_is_an_error(frame, tmp_path, key):
    with pytest.raises(FedmetaError, match=f"scenario 'large' has no number above 0 at {key}: give it one"):
        draw(frame, tmp_path / "figure", option=key)
    assert not list(tmp_path.iterdir())


def test_a_key_of_another_section_can_be_drawn(frame, tmp_path):
    setups = {name: setup_of(lay(settings(), {"pretrain": {"rounds": rounds}})) for name, rounds in ROUNDS.items()}
    assert values_of(About("omniglot", setups), "pretrain.rounds") == {"small": 4, "large": 12}


def test_two_scenarios_with_the_same_value_are_an_error(frame, tmp_path):
    with pytest.raises(FedmetaError, match=r"have the same attack\.factor"):
        draw(frame, tmp_path / "figure", {"large": 6, "small": 6})
    assert not list(tmp_path.iterdir())
