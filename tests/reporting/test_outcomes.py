"""What a run found, in words: against Student's intervals of hand-made accuracies."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedmeta.reporting import results
from fedmeta.reporting.outcomes import as_text, conclusion, outcomes, sample_of

EPISODES = 6
RNG = np.random.default_rng(3)


def rows(
    defence="",
    scenario="default",
    dataset="omniglot",
    attack=(0.9, 0.8),
    floor=(0.2, 0.1),
    step=5,
    case="a",
    delta=np.nan,
):
    """Return accuracies of six episodes around these, for attack training and validation."""
    experiment = "matching" if defence else "meta_training"
    levels = {
        ("attacked", "attack_training"): attack[0],
        ("attacked", "attack_validation"): attack[1],
        ("clean", "attack_training"): floor[0],
        ("clean", "attack_validation"): floor[1],
    }
    levels |= dict.fromkeys(itertools.product(("attacked", "clean"), ("main_task", "meta_testing")), 0.9)
    table = []
    for (model, metric), level in levels.items():
        for episode, noise in enumerate(RNG.uniform(-0.02, 0.02, EPISODES)):
            name = (scenario, dataset, 1, experiment, model, case, 2, defence, delta, step, episode, metric)
            table.append((*name, level + noise))
    return pd.DataFrame(table, columns=results.COLUMNS).astype(results.DTYPES)


@pytest.fixture
def frame():
    early = rows("mix", attack=(0.9, 0.9), step=0)
    last = rows("mix", attack=(0.2, 0.1))
    return pd.concat([rows(), early, last, rows(attack=(0.2, 0.1), case="b"), rows("mix", scenario="other")])


def test_means_and_intervals_are_those_of_the_last_step_in_the_first_case(frame):
    table = outcomes(frame)
    assert table[["scenario", "defence"]].to_numpy().tolist() == [["default", ""], ["default", "mix"], ["other", "mix"]]
    for row, own in zip(table.to_dict("records"), [("", 5), ("mix", 5)], strict=False):
        mine = frame[
            (frame.scenario == "default") & (frame.case == "a") & (frame.defence == own[0]) & (frame.step == 5)
        ]
        for metric in ("attack_training", "attack_validation"):
            before, after = (mine[(mine.model == m) & (mine.metric == metric)].value for m in ("clean", "attacked"))
            lift = after.to_numpy() - before.to_numpy()
            low, high = stats.t.interval(0.95, EPISODES - 1, loc=lift.mean(), scale=stats.sem(lift))
            assert row[f"{metric}_lift"] == pytest.approx(lift.mean())
            assert row[f"{metric}_lift_half_width"] == pytest.approx((high - low) / 2)
        asked = mine[(mine.model == "attacked") & (mine.metric == "meta_testing")].value
        assert row["meta_testing"] == pytest.approx(asked.mean())
        assert row["meta_testing_half_width"] == pytest.approx(stats.t.ppf(0.975, EPISODES - 1) * stats.sem(asked))


@pytest.mark.parametrize(
    ("lift", "half", "undefended", "defended"),
    [
        (0.8, 0.1, "the attack works", "the attack survives"),
        (0.2, 0.14, "the attack works", "the attack survives"),
        (0.01, 0.03, "the attack does not work", "the attack is gone"),
        (-0.2, 0.1, "the attack does not work", "the attack is gone"),
        (0.01, 0.08, *2 * ["no attack seen; up to +9 points are possible"]),
        (0.2, 0.2, *2 * ["unclear, +0 to +40 points: evaluate more episodes or seeds"]),
        (0.8, np.nan, *2 * ["one episode: too few to tell"]),
    ],
)
@pytest.mark.parametrize("larger", ["attack_training_lift", "attack_validation_lift"])
def test_the_larger_lift_and_its_interval_decide(lift, half, undefended, defended, larger):
    row = {f"{metric}_lift": -0.5 for metric in ("attack_training", "attack_validation")}
    row |= {f"{metric}_lift_half_width": 0.4 for metric in ("attack_training", "attack_validation")}
    row |= {larger: lift, f"{larger}_half_width": half, "control": False}
    assert conclusion({**row, "defence": ""}) == undefended
    assert conclusion({**row, "defence": "mix"}) == defended


def test_an_attack_is_gone_only_where_both_intervals_say_so():
    row = {"attack_training_lift": 0.02, "attack_training_lift_half_width": 0.01, "defence": "mix", "control": False}
    row |= {"attack_validation_lift": 0.0, "attack_validation_lift_half_width": 0.3}
    assert conclusion(row) == "no attack seen; up to +30 points are possible"


def test_the_ends_of_an_interval_are_the_sums_of_what_is_shown():
    row = {"attack_training_lift": 0.006, "attack_training_lift_half_width": 0.057, "defence": "mix", "control": False}
    row |= {"attack_validation_lift": -0.01, "attack_validation_lift_half_width": 0.04}
    assert conclusion(row) == "no attack seen; up to +7 points are possible"  # +1±6


def test_a_fresh_network_is_a_control_and_other_victims_are_left_out(frame):
    control = rows("fresh", attack=(0.2, 0.1), delta=0.0)
    every = pd.concat([frame, control, rows("target-random", attack=(0.0, 0.0))])
    words = outcomes(every, {"target-random"}).set_index("defence").words
    assert words["fresh"] == "control: nothing of the model is left"
    assert "target-random" in set(outcomes(every).defence)
    assert "target-random" not in words


def test_the_sample_says_what_the_means_are_taken_over(frame):
    assert sample_of(frame) == "case (a), client 2, 1 seed, 6 episodes of each kind"
    more = pd.concat([frame, frame.assign(seed=2), frame.assign(seed=2, client=3)])
    assert sample_of(more) == "case (a), 2 clients, 2 seeds, 6 episodes of each kind a seed"


def test_of_other_victims_alone_there_is_nothing_to_say():
    only = rows("target-random")
    assert outcomes(only, {"target-random"}).empty
    assert sample_of(only, {"target-random"}) == ""


def test_lines_are_aligned_and_name_what_differs(frame):
    lines = as_text(outcomes(frame), 12).splitlines()
    assert lines[0].split()[:2] == ["scenario", "defence"], "there is one data set"
    assert [line.split()[:2] for line in lines[1:]] == [["default", "none"], ["default", "mix"], ["other", "mix"]]
    column = lines[0].index("in words")
    assert [line[column:] for line in lines[1:]] == ["the attack works", "the attack is gone", "the attack survives"]
    alone = as_text(outcomes(frame[frame.scenario == "default"]), 12).splitlines()
    assert alone[0].startswith("defence  attack lift (points)")


def test_of_many_outcomes_the_first_are_shown_and_the_rest_counted(frame):
    lines = as_text(outcomes(frame), 1).splitlines()
    assert len(lines) == 3
    assert lines[-1] == "... and 2 more: results/tables/comparison.csv"
