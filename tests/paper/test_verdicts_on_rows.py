"""Each kind of statement in the paper against metrics made by hand: what it is compared with, and the verdict."""

import math

import pytest
from helpers.hand_made_metrics import (
    ROUNDS,
    SUPERVISED,
    attack,
    matching,
    measured,
    row_of,
    table_of,
    verdict_of,
)
from scipy import stats


@pytest.mark.parametrize(
    ("accuracy", "floor", "verdict"),
    [
        (0.82, 0.2, "agrees"),  # the paper has 78, and so a tolerance of 4.1
        (0.74, 0.2, "agrees"),
        (0.83, 0.2, "same direction"),
        (1.0, 0.2, "same direction"),
        (0.5, 0.2, "same direction"),  # of the way from 20 to 78, 30 are more than half
        (0.48, 0.2, "differs"),
        (0.72, 0.7, "differs"),
        (0.78, 0.78, "differs"),  # the number without the attack
        (0.82, 0.8, "agrees"),
    ],
)
def test_an_attack_accuracy_agrees_near_the_papers_and_else_is_raised_or_not(accuracy, floor, verdict):
    frame = measured(ROUNDS, 1, {"attack_training": accuracy}, {"attack_training": floor})
    row = row_of("O-1a-train", frame)
    assert row.verdict == verdict
    assert [row["mean"], row.floor, row.lift] == pytest.approx([100 * accuracy, 100 * floor, 100 * (accuracy - floor)])
    assert (row.unit, row.step, row.clients, row.n_episodes, row.n_seeds) == ("percent", "round 1", "2", 2, 1)


def test_halfway_is_from_the_floor_of_each_seed():
    floors = {1: 0.7, 2: 0.1, 3: 0.1}
    seeds = [
        measured(ROUNDS, 1, {"attack_training": floor + 0.28}, {"attack_training": floor}, seed=seed)
        for seed, floor in floors.items()
    ]
    row = row_of("O-1a-train", *seeds)
    # 28 points are more than half of the way from the mean floor, 30, to the paper's 78; two seeds fall short of it.
    assert [row.floor, row.lift, row.lift_half_width] == pytest.approx([30, 28, 0])
    assert row.verdict == "unknown"
    assert verdict_of("O-1a-train", seeds[0]) == "same direction"
    assert verdict_of("O-1a-train", seeds[1]) == "differs"


def test_the_interval_and_not_the_mean_decides():
    values = [0.5, 0.6, 0.9, 0.6]
    row = row_of("O-1a-train", measured(ROUNDS, 1, {"attack_training": values}))
    half = stats.t.ppf(0.975, 3) * stats.sem(values) * 100
    assert row.half_width == pytest.approx(half)
    # The interval reaches what the paper has, and also what would be no attack.
    assert 65 - half < 49 < 78 < 65 + half
    assert row.verdict == "unknown"
    assert row.note.startswith("the interval does not tell")
    # The lift's interval is that of the differences: with a floor that varies alike, there is no spread at all.
    clean = {"attack_training": [value - 0.6 for value in values]}
    row = row_of("O-1a-train", measured(ROUNDS, 1, {"attack_training": values}, clean))
    assert [row.lift, row.lift_half_width] == pytest.approx([60, 0])
    assert row.verdict == "same direction"
    # All of the interval is near the paper's 78 here, and not all there.
    for spread, verdict in ((0.002, "agrees"), (0.005, "same direction")):
        near = measured(ROUNDS, 1, {"attack_training": [0.78 - spread, 0.78 + spread]})
        assert verdict_of("O-1a-train", near) == verdict


def test_one_episode_shows_nothing():
    frame = measured(ROUNDS, 1, {"attack_training": 0.78}).query("episode == 0")
    row = row_of("O-1a-train", frame)
    assert (row.verdict, row["mean"], row.n_episodes) == ("unknown", pytest.approx(78), 1)
    assert row.note.startswith("one episode has no interval")
    assert math.isnan(row.half_width)


@pytest.mark.parametrize(
    ("name", "step", "accuracy", "verdict"),
    [
        ("O-pre", 0, 0.99, "agrees"),
        ("O-pre", 0, 0.985, "same direction"),
        ("O-pre", 0, 0.94, "same direction"),
        ("O-1a-meta", 1, 0.93, "same direction"),  # the paper has 98 or more
        ("O-pre", 0, 0.59, "differs"),  # nearer to chance than to the paper's 99
        ("M-pre", 0, 0.61, "agrees"),
        ("M-pre", 0, 0.41, "same direction"),
        ("M-pre", 0, 0.25, "differs"),  # not what the paper's 60 is given for, though above chance
        ("O-pre", 0, [0.4, 0.9], "unknown"),
    ],
)
def test_a_bound_holds_on_its_side_alone_and_learning_is_more_than_half_way_from_chance(name, step, accuracy, verdict):
    dataset = "omniglot" if name.startswith("O") else "mini_imagenet"
    assert verdict_of(name, measured(ROUNDS, step, {"meta_testing": accuracy}, dataset=dataset)) == verdict


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [(0.24, "agrees"), (0.25, "differs"), (0.16, "agrees"), (0.1, "differs"), ([0.2, 0.3], "unknown")],
)
def test_a_paper_value_at_chance_has_no_direction(accuracy, verdict):
    frame = measured(("fine_tuning", "noisy-start-local", 0.3), 10, {"main_task": accuracy}, dataset="mini_imagenet")
    assert verdict_of("M-A8a", frame) == verdict


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
    assert verdict_of("O-3ab-attack", *defended, weak) == "differs"
    good = measured(matching(0.3), 40, {"attack_training": 0.2, "attack_validation": 0.2})
    assert verdict_of("O-3ab-attack", good, strong) == "agrees"
    none = row_of("O-3ab-attack", good, measured(ROUNDS, 1, attack(0.24)))
    assert none.verdict == "unknown"
    assert none.note.startswith("the attack is not shown to have worked")
    bound = {
        accuracy: verdict_of("O-S1-defended", measured(matching(0.3), 40, attack(accuracy)), strong)
        for accuracy in (0.19, 0.2, 0.6)
    }
    assert bound == {0.19: "agrees", 0.2: "same direction", 0.6: "differs"}


def test_a_drop_over_iterations_counts_from_the_end_of_the_usual_fine_tuning():
    """Not from the model that has not been adapted, which sends keyed images anywhere, or all to the last output."""

    def frames(first, last):
        steps = {0: 0.2, 1: 0.5, 50: first, 60: 0.6, 500: last, 700: 0.1}
        return [measured(SUPERVISED, step, attack(value), attack(0.15)) for step, value in steps.items()]

    row = row_of("O-2c-drop", *frames(0.9, 0.8))
    assert [row["mean"], row.floor, row.lift] == pytest.approx([10, 0, 10])
    assert (row.unit, row.verdict, row.step) == ("points", "agrees", "iteration 50 minus iteration 500")
    assert verdict_of("O-2c-drop", *frames(0.9, 0.7)) == "same direction"
    assert verdict_of("O-2c-drop", *frames(0.9, 0.85)) == "differs"
    short = [measured(SUPERVISED, step, attack(0.9)) for step in (0, 20, 50)]
    assert row_of("O-2c-drop", *short)["note"] == "not in this run: needs iteration from 51 to 500 of figure 5"


@pytest.mark.parametrize(
    ("last", "undefended", "verdict"),
    [(0.81, 0.9, "agrees"), (0.8, 0.9, "differs"), (0.9, 0.2, "unknown"), ([0.5, 0.9], 0.9, "unknown")],
)
def test_that_fine_tuning_takes_less_than_10_points_from_an_attack_needs_an_attack(last, undefended, verdict):
    frames = [measured(SUPERVISED, 50, attack([0.9, 0.9])), measured(SUPERVISED, 500, attack(last))]
    assert verdict_of("O-S1-drop", *frames, measured(ROUNDS, 1, attack(undefended))) == verdict


def test_the_start_of_fine_tuning_is_later_than_where_every_noisy_start_is_at_chance():
    noisy = ("fine_tuning", "noisy-start-local", 0.3)
    steps = {0: 0.2, 1: 0.2, 10: 0.4, 50: 0.6}
    frames = [measured(noisy, k, {"main_task": v}, dataset="mini_imagenet") for k, v in steps.items()]
    row = row_of("M-A8a", *frames)
    assert (row.step, row.verdict, row["mean"]) == ("iteration 10", "differs", pytest.approx(40))
    assert row_of("M-A8a", *frames[:2])["note"].startswith("ended at iteration 1 of 10")


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
    [
        (0.87, 0.9, "agrees"),
        (0.9, 0.9, "differs"),
        (0.92, 0.9, "differs"),
        (0.7, 0.9, "same direction"),
        (0.89, 0.9, "differs"),
        ([0.84, 0.9], 0.9, "unknown"),
    ],
)
def test_accuracy_of_two_mixes_is_compared_with_its_sign_and_its_size(low, high, verdict):
    frames = []
    for delta, accuracy in ((0.2, low), (0.4, high)):
        pair = [accuracy, accuracy] if isinstance(accuracy, float) else accuracy
        main, meta = ([value + shift for value in pair] for shift in (-0.1, 0.05))
        frames.append(measured(matching(delta), 500, {"main_task": main, "meta_testing": meta}))
    assert verdict_of("O-A34", *frames) == verdict


@pytest.mark.parametrize(
    ("defended", "removed", "not_removed"),
    [
        (0.2, "agrees", "differs"),
        (0.239, "agrees", "differs"),  # of a floor of 20, 4 points are within the tolerance
        (0.241, "differs", "agrees"),
        (0.95, "differs", "agrees"),
        ([0.277, 0.523], "unknown", "unknown"),  # a lift of +20 +- 156
        ([0.19, 0.21], "unknown", "unknown"),
    ],
)
def test_removed_and_not_removed_are_told_by_the_whole_interval_of_the_lift(defended, removed, not_removed):
    for dataset, name, verdict in (("omniglot", "O-A1", not_removed), ("mini_imagenet", "M-A2", removed)):
        frames = [
            measured(matching(0.6), 500, attack(defended), dataset=dataset),
            measured(ROUNDS, 1, attack(0.9), dataset=dataset),
        ]
        row = row_of(name, *frames)
        assert row.verdict == verdict
        assert math.isnan(row.paper)
        assert row.lift == pytest.approx(row["mean"] - 20)


def test_a_lift_of_20_give_or_take_15_7_is_not_removed():
    spread = 0.157 * math.sqrt(11) / stats.t.ppf(0.975, 11)
    defended, floor = attack([0.4 + spread, 0.4 - spread] * 6), attack([0.2] * 12)
    frames = [measured(matching(0.6), 500, defended, floor, dataset="mini_imagenet")]
    frames.append(measured(ROUNDS, 1, attack(0.9), dataset="mini_imagenet"))
    row = row_of("M-A2", *frames)
    assert [row.lift, row.lift_half_width] == pytest.approx([20, 15.7], abs=0.01)
    assert row.verdict == "differs"
