"""How long the attack lasts: shares of the lift, and the half-life, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers.drawn_metrics import ROUNDS, metrics
from helpers.setups import settings, setup_of

from fedmeta import plugins
from fedmeta.reporting.figures.half_life import HalfLife, episodes_of_a_round, half_life, in_words
from fedmeta.reporting.judging import crossing, share_left
from fedmeta.reporting.setup import About

STEPS = (0, 1, 2, 5, 9)
LIFT = {0: 0.0, 1: 0.8, 2: 0.6, 5: 0.4, 9: 0.1}


@pytest.fixture
def frame():
    """The lift falls as in `LIFT`; in odd episodes it is higher by a tenth of what it is there."""
    table = metrics(ROUNDS, cases="a", clients=(2,), steps=STEPS, episodes=4).assign(scenario="boosted")
    attack = table.metric.str.startswith("attack")
    lift = table.step.map(LIFT) * (1 + 0.1 * (table.episode % 2)) * (table.model == "attacked")
    return table.assign(value=np.where(attack, 0.1 + lift, table.value))


def test_what_is_left_is_a_share_of_the_lift_right_after_the_attack(frame):
    left = share_left(frame, 1)
    assert left["mean"].to_list() == pytest.approx([1, 0.75, 0.5, 0.125])
    assert left.half_width.to_list() == pytest.approx([0] * 4, abs=1e-9)  # all episodes fade alike
    uneven = frame.assign(
        value=frame.value - 0.2 * ((frame.step == 5) & (frame.episode == 0)) * (frame.model == "attacked")
    )
    assert share_left(uneven, 1).half_width[5] > 0.05


def test_a_crossing_lies_between_the_points_around_it():
    places = np.array([0, 1, 3.0])
    assert crossing(places, np.array([1, 0.6, 0.2]), 0.5) == pytest.approx(1.5)
    assert crossing(places, np.array([0.4, 0.6, 0.2]), 0.5) == 0
    assert crossing(places, np.array([1, 0.9, 0.8]), 0.5) == float("inf")


def test_the_half_life_is_where_half_is_left_and_its_interval_where_the_band_is():
    episodes = np.expm1([0, 1, 2])
    left = pd.DataFrame({"mean": [1, 0.75, 0.25], "half_width": [0, 0.25, 0.25]}, index=episodes)
    found = half_life(left)
    assert found == pytest.approx(tuple(np.expm1([1.5, 1, 2])))
    never = half_life(left.assign(mean=0.9))
    assert never.episodes == never.highest == float("inf")
    assert in_words(never, 300) == "> 300 (> 300 to > 300)"
    assert in_words(HalfLife(1234, 20, float("inf")), 3000) == "1,234 (20 to > 3,000)"


def test_the_figure_has_a_line_for_each_scenario_over_episodes(frame, tmp_path):
    method = plugins.load("figure", "half_life")
    setup = setup_of(settings())
    both = pd.concat([frame, frame.assign(scenario="other", value=0.5)])
    about = About("omniglot", {"boosted": setup, "other": setup})
    figure = method.draw(both, method.Options.model_validate({"kind": "half_life"}), about, tmp_path / "figure")
    (axes,) = figure.axes
    (line,) = [line for line in axes.get_lines() if line.get_label() == "boosted"]
    each = episodes_of_a_round(setup)
    assert each == 3 * 2 * 5  # users, meta-steps, episodes of a meta-step
    np.testing.assert_allclose(line.get_xydata(), [[0, 100], [each, 75], [4 * each, 50], [8 * each, 12.5]])
    words = axes.texts[0].get_text().splitlines()
    assert words == [f"boosted: {4 * each} ({4 * each} to {4 * each})", "other: lift below 10"]


def test_of_many_scenarios_the_figure_shows_the_half_lives_in_rows(frame, tmp_path):
    method = plugins.load("figure", "half_life")
    low = frame.assign(
        value=np.where(frame.metric.str.startswith("attack"), 0.1 + 0.09 * (frame.model == "attacked"), 1)
    )
    names = ["boosted", "low", "kept", "early", "b5", "b6", "b7"]
    tables = {"low": low, "kept": frame[frame.step <= 2], "early": frame[frame.step == 0]}
    metrics = pd.concat([tables.get(name, frame).assign(scenario=name) for name in names])
    about = About("omniglot", dict.fromkeys(names, setup_of(settings())))
    figure = method.draw(metrics, method.Options.model_validate({"kind": "half_life"}), about, tmp_path / "figure")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    points = {line.get_ydata()[0]: line for line in axes.get_lines() if len(line.get_ydata()) == 1}
    each = episodes_of_a_round(setup_of(settings()))
    assert points.keys() == {0, 2, 4, 5, 6}
    assert points[0].get_xdata() == pytest.approx([4 * each]) and points[0].get_marker() == "o"
    assert points[2].get_xdata() == [each] and points[2].get_marker() == ">"  # ends with 75% left
    assert [text.get_text() for text in axes.texts] == ["lift below 10", "not evaluated"]
