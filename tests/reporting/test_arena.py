"""The arena and its frontier: cells and points against numbers worked out by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from helpers.drawn_metrics import MATCHING, PLAIN, metrics
from helpers.setups import settings, setup_of
from matplotlib.figure import Figure
from scipy import stats

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures.arena import place_of, tables_of
from fedmeta.reporting.figures.frontier import LEAST, apart, pareto
from fedmeta.reporting.judging import accuracies, benefit_kept, lifts
from fedmeta.reporting.setup import About

SCENARIOS = ("boosted,method=weighted_sum", "boosted,method=krum", "mix_aware,method=weighted_sum")


def drawn(kind, **own):
    return metrics(kind, cases="a", clients=(2,), steps=(0, 50), episodes=6, **own)


@pytest.fixture(scope="module")
def frame():
    """Defences in three scenarios; under krum the attack leaves nothing."""
    parts = []
    for scenario in SCENARIOS:
        for kind in (PLAIN, MATCHING, ("matching", "fresh-network", 0.0)):
            part = drawn(kind).assign(scenario=scenario)
            attacked = (part.model == "attacked") & part.metric.str.startswith("attack")
            if "krum" in scenario:
                clean = part[part.model == "clean"].value.to_numpy()
                part.loc[part.model == "attacked", "value"] = np.where(
                    attacked[part.model == "attacked"], clean, part[part.model == "attacked"].value
                )
            worth = {"fine_tuning": 0.9, "matching": 0.8, "fresh-network": 0.7}[kind[1]]
            clean = 0.2 * (part.model == "clean")
            part.loc[part.metric == "meta_testing", "value"] = worth + 0.01 * part.episode - clean
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def of(frame, defence):
    return frame[frame.defence == defence]


def test_the_lift_of_a_cell_is_the_larger_of_two_with_the_interval_of_paired_differences(frame):
    table = lifts(of(frame, "fine_tuning"))
    own = of(frame, "fine_tuning")
    own = own[(own.scenario == SCENARIOS[0]) & (own.step == 50)]
    differences = {
        metric: own[(own.metric == metric) & (own.model == "attacked")].sort_values("episode").value.to_numpy()
        - own[(own.metric == metric) & (own.model == "clean")].sort_values("episode").value.to_numpy()
        for metric in ("attack_training", "attack_validation")
    }
    larger = max(differences.values(), key=np.mean)
    cell = table.loc[SCENARIOS[0]]
    assert cell["mean"] == pytest.approx(larger.mean())
    assert cell["half_width"] == pytest.approx(stats.t.ppf(0.975, 5) * stats.sem(larger))
    assert cell["unsafe"]
    nothing = table.loc[SCENARIOS[1]]
    assert (nothing["mean"], nothing["half_width"], nothing["unsafe"]) == (0, 0, False)


def test_a_lift_is_unsafe_by_the_upper_end_of_its_interval(frame):
    own = of(frame, "fine_tuning").copy()
    attacked = (own.model == "attacked") & own.metric.str.startswith("attack") & (own.scenario == SCENARIOS[1])
    own.loc[attacked, "value"] += np.where(own[attacked].episode == 0, 0.12, 0)  # a mean of 2 points, but uncertain
    table = lifts(own)
    assert table.loc[SCENARIOS[1], "mean"] == pytest.approx(0.02)
    assert table.loc[SCENARIOS[1], "unsafe"]


def test_a_cell_is_unsafe_by_the_interval_of_either_lift(frame):
    own = of(frame, "fine_tuning").copy()
    attacked = (own.model == "attacked") & (own.scenario == SCENARIOS[1])
    own.loc[attacked & (own.metric == "attack_training"), "value"] += 0.03  # the larger, and certain
    unsure = attacked & (own.metric == "attack_validation")
    own.loc[unsure, "value"] += np.where(own[unsure].episode == 0, 0.12, 0)
    cell = lifts(own).loc[SCENARIOS[1]]
    assert cell[["mean", "half_width"]].to_list() == pytest.approx([0.03, 0])
    assert cell["unsafe"]


def test_accuracy_is_that_of_the_attacked_model_in_meta_testing(frame):
    assert accuracies(of(frame, "matching"))["mean"].to_list() == pytest.approx([0.825] * 3)


def test_benefit_kept(frame):
    defences = [of(frame, name) for name in ("matching", "fresh-network", "fine_tuning")]
    assert benefit_kept(*defences) == pytest.approx((0.5, 0))
    ours, scratch, best = defences
    assert benefit_kept(scratch, scratch, best) == pytest.approx((0, 0))
    assert benefit_kept(best, scratch, best) == pytest.approx((1, 0))
    assert all(map(math.isnan, benefit_kept(ours, best, scratch)))
    # Where the federation is worth the same in every episode, the interval is Student's of the mean.
    noise = np.random.default_rng(0).normal(0, 0.02, 6)
    uneven = ours.assign(value=ours.value + noise[ours.episode])
    ratio, half = benefit_kept(uneven, scratch, best)
    assert ratio == pytest.approx((0.1 + noise.mean()) / 0.2)
    assert half == pytest.approx(stats.t.ppf(0.975, 5) * stats.sem(noise) / 0.2)


def test_over_seeds_the_interval_is_of_seeds(frame):
    defences = []
    for name, of_seeds in (("matching", (0.02, 0.06, 0.1)), ("fresh-network", (0, 0, 0)), ("fine_tuning", (0.2,) * 3)):
        own = of(frame, "fresh-network").assign(defence=name)
        defences.append(pd.concat([own.assign(seed=k, value=own.value + add) for k, add in enumerate(of_seeds)]))
    ratio, half = benefit_kept(*defences)
    assert ratio == pytest.approx(0.3)
    assert half == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem([0.1, 0.3, 0.5]))


def test_benefit_needs_the_same_episodes(frame):
    ours, scratch, best = (of(frame, name) for name in ("matching", "fresh-network", "fine_tuning"))
    with pytest.raises(FedmetaError, match="need the same episodes"):
        benefit_kept(ours, scratch[scratch.episode > 0], best)


def test_no_other_defence_is_better_in_both():
    costs, benefits = np.array([0, 1, 2, 2, 3.0]), np.array([0, 2, 1, 3, 3.0])
    assert pareto(costs, benefits) == [0, 1, 3]


def test_places_come_from_the_names_of_scenarios():
    assert place_of("mix_aware,method=trimmed_mean") == ("mix aware", "trimmed mean")
    assert place_of("boosted") == ("boosted", "")
    assert place_of("boosted,method=krum,boost=3") == ("boosted", "krum, 3")


def drawing(frame, kind, path, scenarios=SCENARIOS, **options):
    method = plugins.load("figure", kind)
    about = About("omniglot", {name: setup_of(settings()) for name in scenarios})
    given = {"kind": kind, "defences": ["fine_tuning", "matching", "fresh-network"], **options}
    return method.draw(frame, method.Options.model_validate(given), about, path)


def test_the_arena_has_a_table_for_each_defence_and_a_cell_for_each_scenario(frame, tmp_path):
    figure = drawing(frame, "arena", tmp_path / "figure")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fine_tuning", "matching", "fresh-network"]
    servers = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
    assert servers == [["weighted sum", "krum"], [], ["weighted sum", "krum"]]
    for axes, worth in zip(figure.axes, ("92.5±2", "82.5±2", "72.5±2"), strict=True):
        assert [label.get_text() for label in axes.get_yticklabels()] == ["boosted", "mix aware"]
        words = [text.get_text() for text in axes.texts]
        assert all(word.endswith(f"| {worth}") for word in words)
        assert words[1].startswith("+0±0")
    assert figure.axes[0].texts[0].get_text().startswith("x\N{THIN SPACE}+")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.png", "figure.svg"]


def test_with_one_server_the_arena_is_one_table_of_defences_and_attacks(frame, tmp_path):
    renamed = frame[~frame.scenario.str.contains("krum")].assign(
        scenario=lambda rows: rows.scenario.str.partition(",")[0]
    )
    figure = drawing(renamed, "arena", tmp_path / "figure", scenarios=("boosted", "mix_aware"))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fine_tuning", "matching", "fresh-network"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["boosted", "mix aware"]
    words = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(words) == 6
    for row, worth in enumerate(("92.5±2", "82.5±2", "72.5±2")):
        assert words[0, row].endswith(f"| {worth}")


def test_many_attacks_have_their_numbers_below_each_other():
    names = [f"attack{number}" for number in range(8)]
    (table,) = tables_of(["mix"], {name: place_of(name) for name in names})
    assert not table.narrow and table.columns == names and table.cells["mix", "attack3"] == ("mix", "attack3")


def test_the_frontier_has_the_worst_attack_and_the_benefit_of_each_defence(frame, tmp_path):
    figure = drawing(frame, "frontier", tmp_path / "figure", undefended="fine_tuning")
    (axes,) = figure.axes
    places = [line.get_xydata()[0] for line in axes.get_lines() if line.get_marker() == "o"]
    points = {f"${number}$": place for number, place in enumerate(places, 1)}
    worst = lifts(of(frame, "matching"))["mean"].max()
    assert points["$2$"] == pytest.approx([100 * worst, 50])
    assert [points["$1$"][1], points["$3$"][1]] == pytest.approx([100, 0])
    names = [text.get_text().partition(" (")[0] for text in figure.legends[0].get_texts()]
    assert names == ["1  fine_tuning", "2  matching", "3  fresh-network"]
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]


def test_what_keeps_much_less_than_nothing_is_at_the_edge_and_the_legend_says_how_much(frame, tmp_path):
    ruined = frame.assign(value=frame.value - 0.7 * ((frame.defence == "matching") & (frame.metric == "meta_testing")))
    figure = drawing(ruined, "frontier", tmp_path / "figure", undefended="fine_tuning")
    entry = figure.legends[0].get_texts()[1].get_text()
    assert entry.startswith("2  matching (") and entry.endswith(", -300%)")
    heights = [line.get_ydata()[0] for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert heights == pytest.approx([100, LEAST, 0])


def test_numbers_of_points_that_coincide_lie_apart():
    axes = Figure().subplots()
    axes.set(xlim=(0, 100), ylim=(0, 100))
    places = apart(np.full(12, 5.0), np.full(12, 90.0), axes)
    assert all(max(abs(p[0] - q[0]), abs(p[1] - q[1])) >= 3.5 - 1e-9 for p, q in itertools.combinations(places, 2))


def test_where_the_federation_is_worth_nothing_the_frontier_says_so(frame, tmp_path):
    figure = drawing(frame, "frontier", tmp_path / "figure", undefended="fresh-network", scratch="fine_tuning")
    assert any("no benefit to keep" in text.get_text() for text in figure.axes[0].texts)
