"""The paper's numbers against metrics made by hand, whose means, intervals and verdicts are known."""

import copy
import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from snakemake.utils import update_config
from test_workflow import ROOT

from fedmeta.reporting import comparison, contents, paper, results

NUMBERS = paper.read_numbers()
BENCHMARKS = pd.DataFrame(columns=["rule", "dataset", "seed", "scope", "wildcards", "seconds"])
ALL = dict.fromkeys(results.METRICS, 0.5)


@cache
def default_config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def settings(*overlays):
    config = copy.deepcopy(default_config())
    for overlay in overlays:
        update_config(config, yaml.safe_load((ROOT / "config" / overlay).read_text()))
    return config


def measured(kind, step, attacked, clean=None, *, cases="abc", client=2, seed=1, dataset="omniglot"):
    """Return the rows of one model each: by metric one accuracy for two episodes, or a list, one for each episode.

    `kind` is (experiment, defence, delta); without `clean`, that model has 0.2 everywhere.
    """
    experiment, defence, delta = (*kind, "", math.nan)[:3] if len(kind) == 1 else kind
    rows = []
    for model, accuracies in (("attacked", attacked), ("clean", clean or dict.fromkeys(attacked, 0.2))):
        for metric, values in accuracies.items():
            for episode, value in enumerate(np.broadcast_to(values, np.size(values) if np.size(values) > 1 else 2)):
                for case in cases:
                    name = (dataset, seed, experiment, model, case, client, defence, delta, step, episode, metric)
                    rows.append((*name, value))
    return pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)


ROUNDS, SUPERVISED = ("meta_training",), ("fine_tuning",)


def matching(delta):
    return "matching", "matching", delta


NOISY = ("fine_tuning", "glorot_mix", 0.3)


def table_of(*frames, times=BENCHMARKS, config=None, numbers=NUMBERS):
    frame = pd.concat(frames, ignore_index=True)
    config = config or {dataset: settings() for dataset in frame.dataset.unique()}
    return comparison.compare(numbers, frame, times, config).set_index("id")


def row_of(name, *frames, **arguments):
    return table_of(*frames, numbers=NUMBERS[NUMBERS.id == name], **arguments).loc[name]


def verdict_of(name, *frames):
    row = row_of(name, *frames)
    return row.verdict, row.same_direction


# What the paper's vocabulary means


def test_the_table_has_every_number_of_the_paper_as_it_is_in_the_file():
    table = table_of(measured(ROUNDS, 0, ALL)).reset_index()
    kept = table[NUMBERS.columns.drop("percent")]
    pd.testing.assert_frame_equal(kept, NUMBERS.drop(columns="percent"))
    assert table.paper.equals(NUMBERS.percent.rename("paper"))
    assert len(table) == 63
    assert table.loc[table.id == "M-1b-val-100", "paper"].item() == 42


def test_every_number_of_the_paper_is_measured_by_what_its_figure_shows():
    for row in NUMBERS[NUMBERS.metric != "minutes"].itertuples():
        asked = paper.quantity(row)
        for term in filter(None, (asked.term, asked.minus)):
            assert [term.content] == contents.contents_of(term.figure, settings()), row.id
            assert set(term.cases) <= set("abc"), row.id
        assert row.figure.startswith(("A3", asked.term.figure)), row.id


def test_run_times_are_those_of_the_table_of_run_times():
    minutes = NUMBERS[NUMBERS.metric == "minutes"]
    stated = {(paper.WORK[row.when].rule, row.dataset.replace("-", "_")): row.percent for row in minutes.itertuples()}
    assert stated == results.PAPER_MINUTES


# Kinds of rows


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


def attack(accuracy):
    return {"attack_training": accuracy, "attack_validation": accuracy}


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


# What to know before a verdict is trusted


def test_a_mix_or_a_matching_network_that_is_not_the_papers_is_noted():
    frames = [measured(matching(0.3), 50, ALL), measured(SUPERVISED, 500, ALL), measured(ROUNDS, 1, ALL)]
    frames.append(measured(NOISY, 500, ALL))
    assert set(table_of(*frames).note[["O-3-meta", "O-2ab-main", "O-3ab-attack"]]) == {""}
    config = settings()
    config["glorot_mix"]["norms"] = "fresh"
    config["matching"].update(gates=False, scales=False)
    table = table_of(*frames, config={"omniglot": config})
    other = "not as in the paper: glorot_mix.norms fresh, matching.gates false, matching.scales false"
    assert set(table.note[["O-3-meta", "O-3ab-attack"]]) == {other}
    assert table.note["O-A6"].endswith(other)
    assert set(table.note[["O-2ab-main", "O-1a-train"]]) == {""}
    mini = measured(("fine_tuning", "glorot_mix", 0.3), 500, ALL, dataset="mini_imagenet")
    noisy = row_of("M-A7ab", mini, measured(ROUNDS, 1, ALL, dataset="mini_imagenet"), config={"mini_imagenet": config})
    assert noisy.note == "not as in the paper: glorot_mix.norms fresh"


@pytest.mark.parametrize(("low", "note"), [(0.47, ""), (0.46, "wide interval")])
def test_a_wide_interval_is_noted(low, note):
    values = [low, 0.5]
    half = 12.7062 * stats.sem(values) * 100
    assert (half > 20) == bool(note)
    assert row_of("O-1a-train", measured(ROUNDS, 1, {"attack_training": values}))["note"] == note


def test_of_what_is_told_by_the_lift_the_lifts_interval_is_noted_when_wide():
    def note(clean):
        frames = [measured(matching(0.6), 500, attack([0.3, 0.5]), attack(clean)), measured(ROUNDS, 1, attack(0.9))]
        return row_of("O-A1", *frames)["note"]

    assert note([0.2, 0.4]) == ""
    assert note([0.4, 0.2]) == "wide interval"


# Moments


def test_the_last_step_up_to_the_papers_is_taken():
    frames = [measured(ROUNDS, step, {"attack_training": step / 200}) for step in (0, 1, 10, 50, 51, 52, 80)]
    table = table_of(*frames)
    # Round 1 is the attacked one: after 50 benign rounds is after round 51.
    assert list(table.step[["O-1a-train", "O-1a-train-50"]]) == ["round 1", "round 51"]
    assert list(table["mean"][["O-1a-train", "O-1a-train-50"]]) == pytest.approx([0.5, 25.5])
    mini = [measured(ROUNDS, step, {"attack_training": 0.5}, dataset="mini_imagenet") for step in (1, 51, 101, 102)]
    assert row_of("M-1a-train-100", *mini)["step"] == "round 101"
    frames = [measured(matching(0.3), step, {"meta_testing": step / 1000}) for step in (0, 20, 60, 600)]
    assert row_of("O-3-meta", *frames)[["step", "mean"]].to_list() == ["iteration 20", pytest.approx(2)]


# What is missing


def test_what_the_run_lacks_is_said_and_left_empty():
    table = table_of(measured(ROUNDS, 1, ALL, cases="ab"), measured(SUPERVISED, 0, ALL))
    needs = {
        "O-pre": "round 0 of figure 3",
        "O-1a-train-50": "round from 2 to 51 of figure 3",
        "O-1c-train": "case c of figure 3",
        "O-2ab-main": "iteration from 1 to 500 of figure 5",
        "O-3-meta": "figure 7",
        "O-A34": "figure A4",
        "O-A1": "figure A1",
        "O-A6": "figure A6",
        "M-1a-val": "the data set mini_imagenet",
        "T-attack-O": "a run time of attack",
    }
    for name, need in needs.items():
        row = table.loc[name]
        assert row.note == f"not in this run: needs {need}"
        assert row.verdict == row.same_direction == row.step == ""
        assert row[["mean", "half_width", "floor", "lift", "n_episodes"]].isna().all()
    assert table.verdict["O-1b-train"] != ""
    assert (table.loc["O-3-meta", ["measured_on", "image_size"]] == ["omniglot", 28]).all()


def test_a_defence_without_the_undefended_and_a_model_without_its_floor_are_missing():
    defended = measured(matching(0.3), 50, attack(0.2))
    assert "needs figure 3" in row_of("O-3ab-attack", defended)["note"]
    alone = measured(ROUNDS, 1, ALL).query("model == 'attacked'")
    assert "clean model" in row_of("O-1a-train", alone)["note"]


def test_another_delta_or_defence_is_another_measurement():
    frames = [measured(matching(0.4), 50, ALL), measured(("matching", "matching_other_episodes", 0.3), 50, ALL)]
    assert row_of("O-3-meta", *frames)["note"] == "not in this run: needs figure 7"


# Several seeds, data sets


def test_with_several_seeds_the_interval_is_over_their_means():
    means = {1: [0.7, 0.8], 2: [0.5, 0.6], 3: [0.9, 0.6]}
    frames = [measured(ROUNDS, 1, {"attack_training": values}, seed=seed) for seed, values in means.items()]
    row = row_of("O-1a-train", *frames)
    seeds = [100 * np.mean(values) for values in means.values()]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(seeds), scale=stats.sem(seeds))
    assert [row["mean"] - row.half_width, row["mean"] + row.half_width] == pytest.approx([low, high])
    assert (row.n_seeds, row.n_episodes) == (3, 6)


def test_several_data_sets_answer_for_themselves():
    table = table_of(
        measured(ROUNDS, 1, {"attack_training": 0.9}),
        measured(ROUNDS, 1, {"attack_training": 0.7}, dataset="mini_imagenet"),
        measured(ROUNDS, 1, {"attack_training": 0.1}, dataset="glyphs"),
    )
    assert list(table["mean"][["O-1a-train", "M-1a-train"]]) == pytest.approx([90, 70])
    assert set(table.measured_on) == {"omniglot", "mini_imagenet"}


def test_glyphs_stand_in_for_omniglot_and_a_folder_of_images_for_nothing():
    glyphs = measured(ROUNDS, 1, {"attack_training": 0.9}, dataset="glyphs")
    table = table_of(glyphs, measured(ROUNDS, 1, {"attack_training": 0.9}, dataset="image_folder"))
    assert set(table.measured_on[table.dataset == "omniglot"]) == {"glyphs"}
    assert set(table.measured_on[table.dataset == "mini-imagenet"]) == {""}
    assert table.loc["O-1a-train", "mean"] == pytest.approx(90)
