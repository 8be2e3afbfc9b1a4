"""Statements about much work, about attacks that fade and about figures that are alike: what a shorter run may say."""

import itertools
import math

import pytest
from helpers.hand_made_metrics import (
    NOISY,
    ROUNDS,
    SUPERVISED,
    attack,
    matching,
    measured,
    row_of,
    settings,
    verdict_of,
)

from fedmeta.reporting import results

FADING = ("O-1a-train-50", "O-S1-val-50")


def run(rounds, meta_steps):
    """Return a config with so many rounds after the attack, of 15 episodes for each meta-step."""
    config = settings("paper.yaml")
    config["meta_train_after"].update(rounds=1 + rounds, meta_steps=meta_steps)
    return {"omniglot": config}


def faded(after, first=0.8, last_round=51):
    return [measured(ROUNDS, step, attack(value)) for step, value in ((1, first), (last_round, after))]


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (0.5, "agrees"),
        (0.62, "same direction"),  # the paper's 78 to 50 are 28 points, half of which are 14
        (0.68, "differs"),
        (0.8, "differs"),  # raised, but not faded at all
        (1.0, "differs"),
        (0.2, "differs"),  # faded, but nothing is left
        ([0.5, 0.8], "unknown"),
    ],
)
def test_an_attack_that_fades_must_have_faded_and_not_be_gone(after, verdict):
    for name in FADING:
        assert row_of(name, *faded(after), config=run(50, 200)).verdict == verdict


@pytest.mark.parametrize(
    ("meta_steps", "episodes", "verdict"),
    [(200, 150_000, "agrees"), (20, 15_000, "agrees"), (19, 14_250, "unknown"), (2001, 1_500_750, "unknown")],
)
def test_what_is_left_after_ten_times_more_or_less_training_is_unknown(meta_steps, episodes, verdict):
    row = row_of("O-1a-train-50", *faded(0.5), config=run(50, meta_steps))
    assert row.verdict == verdict
    other = f"{episodes:,} benign episodes after the attack, the paper 150,000"
    assert row.note.startswith(other) == (verdict == "unknown")


def test_all_of_an_attack_after_540_episodes_is_not_the_papers_half_after_150_000():
    row = row_of("O-1a-train-50", *faded(1.0, 1.0, 10), config=run(9, 4))
    assert (row.verdict, row.step, row["mean"]) == ("unknown", "round 10", pytest.approx(100))
    assert row.note.startswith("ended at round 10 of 51; 540 benign episodes after the attack, the paper 150,000")


def test_a_run_that_ended_before_the_papers_step_says_nothing_of_it():
    for last, verdict in ((499, "unknown"), (500, "agrees"), (501, "agrees")):
        frames = [measured(SUPERVISED, step, attack(0.9)) for step in (1, last if last < 500 else 500, last)]
        frames = frames[:2] if last <= 500 else frames
        row = row_of("O-2ab-attack", *frames, measured(ROUNDS, 1, attack(0.9)))
        assert row.verdict == verdict
    short = row_of("O-3-meta", measured(matching(0.3), 40, {"meta_testing": 0.99}))
    assert (short.verdict, short.note.split("; ")[0]) == ("unknown", "ended at iteration 40 of 50")
    few = [measured(matching(0.3), 5, attack(0.2)), measured(ROUNDS, 1, attack(0.9))]
    assert row_of("O-3ab-attack", *few)["note"].startswith("ended at iteration 5 of 10")


def test_the_attacks_cost_is_counted_from_before_it():
    for after, verdict in ((0.98, "agrees"), (0.97, "same direction"), (0.99, "differs"), (1.0, "differs")):
        frames = [measured(ROUNDS, 0, {"meta_testing": 0.99}), measured(ROUNDS, 1, {"meta_testing": after})]
        row = row_of("O-S1-meta-drop", *frames)
        assert (row.verdict, row.step, row["mean"]) == (
            verdict,
            "round 0 minus round 1",
            pytest.approx(99 - 100 * after),
        )


def test_before_the_attack_there_is_a_floor_and_no_direction():
    for floor, verdict in ((0.1, "agrees"), (0.13, "agrees"), (0.2, "differs")):
        frame = measured(ROUNDS, 0, attack(floor), attack(floor), dataset="mini_imagenet")
        assert verdict_of("M-A7c-before", frame) == verdict


def noisy_starts(step=500, **accuracy):
    """Return a matching network that has 20% everywhere, and a noisy start with these accuracies, one for each case.

    In case (c), client 4 is another matter.
    """
    likes = {name: [0.2] * 3 for name in results.METRICS} | accuracy
    own = [measured(matching(0.3), step, dict.fromkeys(likes, 0.2), client=client) for client in (2, 4)]
    own += [measured(ROUNDS, 1, attack(0.9), client=client) for client in (2, 4)]
    for client, case in itertools.product((2, 4), "abc"):
        values = {name: each["abc".index(case)] for name, each in likes.items()}
        exception = dict.fromkeys(likes, 1.0)
        own.append(measured(NOISY, 500, exception if (client, case) == (4, "c") else values, client=client, cases=case))
    return own


def test_a_noisy_start_is_like_matching_in_every_case_and_accuracy_but_for_client_4_in_case_c():
    row = row_of("O-A6", *noisy_starts(attack_training=[0.2, 0.23, 0.2], attack_validation=[0.2, 0.25, 0.2]))
    assert [row["mean"], row.half_width, row.floor] == pytest.approx([4, 0, 0])
    assert (row.verdict, row.clients, row.n_episodes) == ("agrees", "2, 4", 4)
    assert row.step == "iteration 500"
    assert row.note.startswith("farthest apart of 9: attack_training and attack_validation in case (b); not as")
    for name in results.METRICS:
        opposite = row_of("O-A6", *noisy_starts(**{name: [0.45, 0.0, 0.2]}))
        assert opposite.verdict == "differs", "apart, though not on average"
        assert name in opposite.note
        assert "case (a)" in opposite.note
    only_c = row_of("O-A6", *noisy_starts(main_task=[0.2, 0.2, 0.1]))
    assert only_c.verdict == "differs"
    assert only_c.note.startswith("farthest apart of 9: main_task in case (c)")
    assert only_c[["mean", "lift"]].to_list() == pytest.approx([-10, math.nan], nan_ok=True)


def test_figures_are_alike_only_if_no_wide_interval_hides_a_difference_and_both_went_as_far():
    frames = noisy_starts()
    uneven = frames[-2].copy()
    uneven["value"] += 0.05 * (-1) ** uneven.episode * (uneven.metric == "meta_testing") * (uneven.model == "attacked")
    row = row_of("O-A6", *frames[:-2], uneven, frames[-1])
    assert (row.verdict, row.note.split("; ")[0]) == ("unknown", "the interval does not tell")
    short = row_of("O-A6", *noisy_starts(step=50))
    assert (short.verdict, short.note.split("; ")[0]) == ("unknown", "ended at iteration 50 of 500")


def test_local_meta_training_is_held_against_the_same_without_it():
    kinds = {"A8": ("fine_tuning", "noisy-start-local", 0.3), "A9": ("matching", "matching-local", 0.3)}
    accuracies = dict.fromkeys(results.METRICS, 0.3)
    own = [measured(kind, 500, accuracies, dataset="mini_imagenet") for kind in (*kinds.values(), NOISY)]
    own += [measured(matching(0.3), 500, {**accuracies, "main_task": 0.4}, dataset="mini_imagenet")]
    own += [measured(ROUNDS, 1, attack(0.9), dataset="mini_imagenet")]
    for name, verdict in (("M-A8-like", "agrees"), ("M-A9-like", "differs"), ("M-A89-like", "agrees")):
        assert verdict_of(name, *own) == verdict
    assert "needs figure A10" in row_of("M-A10-like", *own)["note"]


def test_accuracies_of_delta_0_6_are_like_those_of_0_3_whatever_the_attack_does():
    for meta, verdict in ((0.34, "agrees"), (0.4, "differs")):
        defended = {0.3: {"main_task": 0.5, "meta_testing": 0.3, **attack(0.2)}}
        defended[0.6] = {"main_task": 0.5, "meta_testing": meta, **attack(0.9)}
        frames = [measured(matching(delta), 500, own, dataset="mini_imagenet") for delta, own in defended.items()]
        assert verdict_of("M-A2-like", *frames) == verdict
