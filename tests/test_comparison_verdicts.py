"""Each kind of statement in the paper against metrics made by hand: what it is compared with, and the verdict."""

import itertools
import math

import pytest
from hand_made_metrics import NOISY, ROUNDS, SUPERVISED, attack, matching, measured, row_of, table_of, verdict_of
from scipy import stats

from fedmeta.reporting import results


@pytest.mark.parametrize(
    ("accuracy", "floor", "verdict"),
    [
        (0.83, 0.2, ("agrees", "yes")),  # the paper has 78
        (0.73, 0.2, ("agrees", "yes")),
        (0.84, 0.2, ("same direction", "yes")),
        (0.72, 0.7, ("same direction", "yes")),
        (0.72, 0.72, ("differs", "no")),
        (0.3, 0.4, ("differs", "no")),
        (0.78, 0.78, ("agrees", "no")),
    ],
)
def test_an_attack_accuracy_agrees_within_5_points_and_else_is_raised_or_not(accuracy, floor, verdict):
    frame = measured(ROUNDS, 1, {"attack_training": accuracy}, {"attack_training": floor})
    row = row_of("O-1a-train", frame)
    assert (row.verdict, row.same_direction) == verdict
    assert [row["mean"], row.floor, row.lift] == pytest.approx([100 * accuracy, 100 * floor, 100 * (accuracy - floor)])
    assert (row.unit, row.step, row.clients, row.n_episodes, row.n_seeds) == ("percent", "round 1", "2", 2, 1)


def test_the_interval_and_not_the_mean_decides():
    values = [0.5, 0.6, 0.9, 0.6]
    row = row_of("O-1a-train", measured(ROUNDS, 1, {"attack_training": values}))
    half = stats.t.ppf(0.975, 3) * stats.sem(values) * 100
    assert row.half_width == pytest.approx(half)
    assert 65 + half > 73 > 65
    assert row.verdict == "agrees"
    # The lift's interval is that of the differences: with a floor that varies alike, there is no spread at all.
    clean = {"attack_training": [value - 0.25 for value in values]}
    row = row_of("O-1a-train", measured(ROUNDS, 1, {"attack_training": values}, clean))
    assert [row.lift, row.lift_half_width] == pytest.approx([25, 0])
    # A lift whose interval reaches 0 shows no direction.
    wide = measured(ROUNDS, 1, {"attack_training": [0.2, 0.5]}, {"attack_training": [0.2, 0.2]})
    assert verdict_of("O-1a-train", wide) == ("agrees", "no")


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [(1.0, "agrees"), (0.94, "agrees"), (0.93, "same direction"), (0.21, "same direction"), (0.2, "differs")],
)
def test_a_bound_agrees_from_5_points_below_and_else_is_above_chance_or_not(accuracy, verdict):
    assert verdict_of("O-pre", measured(ROUNDS, 0, {"meta_testing": accuracy}))[0] == verdict


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.25, "agrees"), (0.26, "differs"), (0.15, "agrees"), (0.1, "same direction")]
)
def test_a_paper_value_at_chance_is_not_to_be_exceeded(accuracy, verdict):
    frame = measured(("fine_tuning", "glorot_mix_local_100", 0.3), 1, {"main_task": accuracy}, dataset="mini_imagenet")
    assert verdict_of("M-A8a", frame)[0] == verdict


def test_cases_and_both_attack_metrics_are_pooled_and_a_defence_is_held_against_the_undefended():
    defended = [
        measured(matching(0.3), 40, {"attack_training": 0.1, "attack_validation": 0.2}, cases="a"),
        measured(matching(0.3), 40, {"attack_training": 0.3, "attack_validation": 0.6}, cases="b"),
    ]
    strong = measured(ROUNDS, 1, {"attack_training": 0.9, "attack_validation": 0.8})
    row = row_of("O-3ab-attack", *defended, strong)
    assert [row["mean"], row.half_width, row.floor, row.lift] == pytest.approx([30, 0, 20, 10])
    assert (row.verdict, row.n_episodes, row.step) == ("same direction", 2, "iteration 40")
    weak = measured(ROUNDS, 1, {"attack_training": 0.3, "attack_validation": 0.3})
    assert verdict_of("O-3ab-attack", *defended, weak) == ("differs", "no")
    good = measured(matching(0.3), 40, {"attack_training": 0.2, "attack_validation": 0.2})
    assert verdict_of("O-3ab-attack", good, strong) == ("agrees", "yes")
    none = measured(ROUNDS, 1, {"attack_training": 0.2, "attack_validation": 0.2})
    assert verdict_of("O-3ab-attack", good, none) == ("agrees", "no")


def test_a_drop_over_iterations_counts_from_the_end_of_the_usual_fine_tuning():
    """Not from the model that has not been adapted, which sends keyed images anywhere, or all to the last output."""

    def frames(first, last):
        steps = {0: 0.2, 1: 0.5, 40: first, 60: 0.6, 200: last, 700: 0.1}
        return [measured(SUPERVISED, step, attack(value), attack(0.15)) for step, value in steps.items()]

    row = row_of("O-2c-drop", *frames(0.9, 0.8))
    assert [row["mean"], row.floor, row.lift] == pytest.approx([10, 0, 10])
    assert (row.unit, row.verdict, row.step) == ("points", "agrees", "iteration 40 minus iteration 200")
    assert verdict_of("O-2c-drop", *frames(0.9, 0.7)) == ("same direction", "yes")
    assert verdict_of("O-2c-drop", *frames(0.9, 0.9)) == ("differs", "no")
    short = [measured(SUPERVISED, step, attack(0.9)) for step in (0, 20, 50)]
    assert row_of("O-2c-drop", *short)["note"] == "not in this run: needs iteration from 51 to 500 of figure 5"


def test_the_start_of_fine_tuning_is_later_than_where_every_noisy_start_is_at_chance():
    noisy = ("fine_tuning", "glorot_mix_local_100", 0.3)
    steps = {0: 0.2, 1: 0.2, 10: 0.4, 50: 0.6}
    row = row_of("M-A8a", *(measured(noisy, k, {"main_task": v}, dataset="mini_imagenet") for k, v in steps.items()))
    assert (row.step, row.verdict, row["mean"]) == ("iteration 10", "differs", pytest.approx(40))


def test_gain_and_drop_against_another_case():
    b = measured(SUPERVISED, 500, {"main_task": 0.6, **attack(0.7)}, cases="b", dataset="mini_imagenet")
    c = measured(SUPERVISED, 500, {"main_task": 0.8, **attack(0.4)}, cases="c", dataset="mini_imagenet")
    table = table_of(b, c)
    assert table.loc["M-2c-main-gain", "mean"] == pytest.approx(20)
    assert table.loc["M-2c-drop", "mean"] == pytest.approx(30)
    assert list(table.verdict[["M-2c-main-gain", "M-2c-drop"]]) == ["same direction"] * 2
    assert list(table.step[["M-2c-main-gain", "M-2c-drop"]]) == ["iteration 500"] * 2


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.87, 0.9, "agrees"), (0.9, 0.9, "agrees"), (0.7, 0.9, "same direction"), (0.9, 0.8, "differs")],
)
def test_accuracy_of_two_mixes_is_compared_with_its_sign(low, high, verdict):
    frames = [
        measured(matching(delta), 500, {"main_task": accuracy - 0.1, "meta_testing": accuracy + 0.1})
        for delta, accuracy in ((0.2, low), (0.4, high))
    ]
    row = row_of("O-A34", *frames)
    assert row["mean"] == pytest.approx(100 * (low - high))
    assert row.verdict == verdict


@pytest.mark.parametrize(
    ("defended", "removed", "not_removed"),
    [
        (0.2, "agrees", "differs"),
        (0.25, "agrees", "same direction"),
        (0.26, "same direction", "agrees"),
        (0.95, "differs", "agrees"),
    ],
)
def test_removed_and_not_removed_are_told_by_the_lift(defended, removed, not_removed):
    for dataset, name, verdict in (("omniglot", "O-A1", not_removed), ("mini_imagenet", "M-A2", removed)):
        frames = [
            measured(matching(0.6), 500, attack(defended), dataset=dataset),
            measured(ROUNDS, 1, attack(0.9), dataset=dataset),
        ]
        row = row_of(name, *frames)
        assert row.verdict == verdict
        assert math.isnan(row.paper)
        assert [row["mean"], row.lift] == pytest.approx([100 * defended, 100 * (defended - 0.2)])


def noisy_starts(**accuracy):
    """Return a matching network that has 20% everywhere, and a noisy start with these accuracies, one for each case.

    In case (c), client 4 is another matter.
    """
    likes = {name: [0.2] * 3 for name in results.METRICS} | accuracy
    own = [measured(matching(0.3), 50, dict.fromkeys(likes, 0.2), client=client) for client in (2, 4)]
    own += [measured(ROUNDS, 1, attack(0.9), client=client) for client in (2, 4)]
    for client, case in itertools.product((2, 4), "abc"):
        values = {name: each["abc".index(case)] for name, each in likes.items()}
        exception = dict.fromkeys(likes, 1.0)
        own.append(measured(NOISY, 500, exception if (client, case) == (4, "c") else values, client=client, cases=case))
    return own


def test_a_noisy_start_is_like_matching_in_every_case_and_accuracy_but_for_client_4_in_case_c():
    row = row_of("O-A6", *noisy_starts(attack_training=[0.2, 0.24, 0.2], attack_validation=[0.2, 0.26, 0.2]))
    assert [row["mean"], row.half_width, row.floor] == pytest.approx([5, 0, 0])
    assert (row.verdict, row.clients, row.n_episodes) == ("agrees", "2, 4", 4)
    assert row.step == "iteration 500 minus iteration 50"
    assert row.note == "farthest apart of 9: attack_training and attack_validation in case (b)"
    for name in results.METRICS:
        opposite = row_of("O-A6", *noisy_starts(**{name: [0.45, 0.0, 0.2]}))
        assert (opposite.verdict, opposite.same_direction) == ("same direction", "yes"), "apart, though not on average"
        assert name in opposite.note
        assert "case (a)" in opposite.note
    only_c = row_of("O-A6", *noisy_starts(main_task=[0.2, 0.2, 0.1]))
    assert (only_c.verdict, only_c.note) == ("same direction", "farthest apart of 9: main_task in case (c)")
    assert only_c[["mean", "lift"]].to_list() == pytest.approx([-10, math.nan], nan_ok=True)
    assert verdict_of("O-A6", *noisy_starts(**{name: [0.9] * 3 for name in attack(0)})) == ("differs", "no")
