"""The paper's numbers against metrics made by hand: which rows, moments, seeds and data sets answer for them."""

import numpy as np
import pandas as pd
import pytest
from helpers.hand_made_metrics import (
    ALL,
    NOISY,
    NUMBERS,
    ROUNDS,
    SUPERVISED,
    attack,
    matching,
    measured,
    row_of,
    settings,
    table_of,
)
from helpers.setups import figure_of
from scipy import stats

from fedmeta.paper import numbers as paper
from fedmeta.paper import stated_settings
from fedmeta.reporting import run_times

# What the paper's vocabulary means


def test_the_table_has_every_number_of_the_paper_as_it_is_in_the_file():
    table = table_of(measured(ROUNDS, 0, ALL)).reset_index()
    kept = table[NUMBERS.columns.drop(["percent", "remark"])]
    pd.testing.assert_frame_equal(kept, NUMBERS.drop(columns=["percent", "remark"]))
    assert table.paper.equals(NUMBERS.percent.rename("paper"))
    assert len(table) == 88
    assert table.loc[table.id == "M-1b-val-100", "paper"].item() == 42


def test_every_number_of_the_paper_is_measured_by_what_its_figure_shows():
    for row in NUMBERS[NUMBERS.metric != "minutes"].itertuples():
        asked = paper.quantity(row)
        for term in filter(None, (asked.term, asked.minus)):
            shown = figure_of(term.figure, settings())
            assert [term.defence] == list(shown.defences or [""]), row.id
            assert (shown.kind == "over_rounds") == (term.moment.unit == "round"), row.id
            assert set(term.cases) <= set("abc"), row.id
        assert row.figure.startswith(("A3", asked.term.figure)), row.id


def test_run_times_are_those_of_the_table_of_run_times():
    minutes = NUMBERS[NUMBERS.metric == "minutes"]
    stated = {(paper.WORK[row.when].rule, row.dataset.replace("-", "_")): row.percent for row in minutes.itertuples()}
    assert stated == run_times.PAPER_MINUTES


# What to know before a verdict is trusted


def test_a_mix_or_a_matching_network_that_is_not_the_papers_is_noted():
    frames = [measured(matching(0.3), 50, ALL), measured(SUPERVISED, 500, ALL), measured(ROUNDS, 1, ALL)]
    frames.append(measured(NOISY, 500, ALL))
    config = settings("paper.yaml")
    assert set(table_of(*frames, config={"omniglot": config}).note[["O-3-meta", "O-2-main", "O-3ab-attack"]]) == {""}
    config["defences"]["matching"].update(norms="fresh", gates=False, scales=False)
    config["defences"]["noisy-start"] = {"norms": "fresh", "delta": 0.5}
    table = table_of(*frames, config={"omniglot": config})
    fresh, false = "norms fresh for shared", "gates false for true, defences.matching.scales false for true"
    matched, noisy = f"defences.matching.{fresh}, defences.matching.{false}", "defences.noisy-start.delta 0.5 for 0.3"
    noisy += f", defences.noisy-start.{fresh}"
    other = f"not as in the paper: {matched}"
    assert set(table.note[["O-3-meta", "O-3ab-attack"]]) == {other}
    assert table.note["O-A6"].endswith(f"not as in the paper: {noisy}, {matched}")
    assert set(table.note[["O-2-main", "O-1a-train"]]) == {""}
    mini = measured(NOISY, 500, ALL, dataset="mini_imagenet")
    row = row_of("M-A7ab", mini, measured(ROUNDS, 1, ALL, dataset="mini_imagenet"), config={"mini_imagenet": config})
    assert row.note == f"not as in the paper: {noisy}"


def test_training_that_is_not_the_papers_is_noted_where_it_matters():
    frames = [measured(ROUNDS, step, ALL) for step in (0, 1)]
    frames += [measured(ROUNDS, step, ALL, dataset="mini_imagenet") for step in (0, 1)]
    config = {dataset: settings("paper.yaml") for dataset in ("omniglot", "mini_imagenet")}
    for own in config.values():
        own["pretrain"]["outer_learning_rate"] = [1.0, 0.05]
        own["attack"].update(outer_learning_rate=0.3, meta_batch=4)
    config["mini_imagenet"]["reptile"]["inner_learning_rate"] = 0.003
    note = table_of(*frames, config=config).note
    attacker = "attack.outer_learning_rate 0.3 for 0.1, attack.meta_batch 4 for 5"
    assert note["O-1a-train"] == f"not as in the paper: {attacker}"
    assert note["O-pre"] == "not as in the paper: pretrain.outer_learning_rate 1 to 0.05 for 0.1 to 0.1"
    for part in (attacker, "pretrain.outer_learning_rate", "reptile.inner_learning_rate 0.003 for 0.001"):
        assert part in note["M-1a-meta"]
    assert "attack." not in note["M-pre"]


def test_how_the_text_may_be_read_is_noted_beside_what_was_measured_alone():
    frames = [measured(SUPERVISED, step, attack(0.9)) for step in (50, 500)]
    table = table_of(*frames)
    assert 'about 10% after 500 iterations)" may mean reduced to 10%' in table.note["O-2c-drop"]
    assert table.note["M-S1-drop"] == "not in this run: needs the data set mini_imagenet"


@pytest.mark.parametrize(("low", "note"), [(0.47, ""), (0.46, "wide interval")])
def test_a_wide_interval_is_noted(low, note):
    values = [low, 0.5]
    half = 12.7062 * stats.sem(values) * 100
    assert (half > 20) == bool(note)
    frame, config = measured(ROUNDS, 1, {"attack_training": values}), settings("paper.yaml")
    row = row_of("O-1a-train", frame, config={"omniglot": config})
    assert [part for part in row.note.split("; ") if part == "wide interval"] == ([note] if note else [])


def test_of_what_is_told_by_the_lift_the_lifts_interval_is_noted_when_wide():
    def wide(clean):
        frames = [measured(matching(0.6), 500, attack([0.3, 0.5]), attack(clean)), measured(ROUNDS, 1, attack(0.9))]
        return row_of("O-A1", *frames)["note"].endswith("; wide interval")

    assert not wide([0.2, 0.4])
    assert wide([0.4, 0.2])


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
        "O-2-main": "iteration from 1 to 500 of figure 5",
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
        assert row.verdict == row.step == ""
        assert row[["mean", "half_width", "floor", "lift", "n_episodes"]].isna().all()
    assert table.verdict["O-1b-train"] != ""
    assert (table.loc["O-3-meta", ["measured_on", "image_size"]] == ["omniglot", 28]).all()


def test_a_defence_without_the_undefended_and_a_model_without_its_floor_are_missing():
    defended = measured(matching(0.3), 50, attack(0.2))
    assert "needs figure 3" in row_of("O-3ab-attack", defended)["note"]
    alone = measured(ROUNDS, 1, ALL).query("model == 'attacked'")
    assert "clean model" in row_of("O-1a-train", alone)["note"]


def test_another_delta_or_defence_is_another_measurement():
    frames = [measured(matching(0.4), 50, ALL), measured(("matching", "other-episodes", 0.3), 50, ALL)]
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


def test_a_list_of_several_settings_is_written_as_one():
    assert stated_settings._in_words((1.0, 1.0, 0.0, 0.5)) == "[1, 1, 0, 0.5]"
    assert stated_settings._in_words((1.0, 0.1)) == "1 to 0.1"
