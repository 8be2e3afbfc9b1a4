"""Lift and accuracy over an option of the attack."""

import pandas as pd
import pytest
from helpers.drawn_metrics import MATCHING, PLAIN, metrics
from helpers.setups import settings, setup_of

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures.over_option import BESIDE
from fedmeta.reporting.judging import accuracies, lifts
from fedmeta.reporting.setup import About
from fedmeta.settings import lay

FACTORS = {"large": 6, "small": 1.5}


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


def test_an_option_that_an_attack_does_not_have_is_an_error(frame, tmp_path):
    with pytest.raises(FedmetaError, match="no option 'strength' above 0"):
        draw(frame, tmp_path / "figure", option="strength")
    with pytest.raises(FedmetaError, match="two scenarios have the same factor"):
        draw(frame, tmp_path / "figure", {"large": 6, "small": 6})
    assert not list(tmp_path.iterdir())
