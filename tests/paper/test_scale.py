"""The scale of a run, and its times scaled to the paper's amount of work."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.hand_made_metrics import (
    ALL,
    NOISY,
    NUMBERS,
    ROUNDS,
    SUPERVISED,
    benchmarks,
    measured,
    row_of,
    settings,
    table_of,
)
from helpers.setups import setup_of
from scipy import stats

from fedmeta.attacks.one_shot import inner_steps
from fedmeta.paper import against_ours
from fedmeta.paper import numbers as paper
from fedmeta.paper.run_times import behind
from fedmeta.paper.scale import episodes_after_attack, scale
from fedmeta.paper.stated_settings import BENIGN_EPISODES, SCALE
from fedmeta.settings import lay

TIMES = ["T-pretrain-O", "T-attack-O", "T-finetune-O", "T-post-O"]

RUN = {
    "data": {"size": 28},
    "federation": {"selected": 3, "aggregation": {"method": "weighted_sum"}},
    "model": {"filters": 64},
    "reptile": {"way": 5, "shot": 10, "inner_batch": 10, "meta_batch": 5, "inner_learning_rate": 0.001},
    "pretrain": {"rounds": 220, "meta_steps": 2, "outer_learning_rate": [0.1, 0.1]},
    "attack": {"method": "one_shot", "meta_steps": 80, "meta_batch": 4, "inner_epochs": 6, "outer_learning_rate": 0.3},
    "meta_train_after": {"rounds": 10, "meta_steps": 4},
    "evaluation": {"episodes": 8, "cases": ["a", "b", "c"]},
    "defences": {
        "fine_tuning": {"method": "fine_tuning", "iterations": [0, 20, 500]},
        "matching": {"method": "matching"},
    },
}


def test_the_scale_is_what_the_settings_amount_to():
    config = copy.deepcopy(RUN)
    row = row_of("O-1a-train", measured(ROUNDS, 1, ALL), config={"omniglot": config})
    assert row[list(against_ours.SCALE)].to_list() == [220 * 2 * 5 * 3, 80 * 4 * 30, 9, 64, 28]
    for epochs, shot, batch in ((6, 10, 10), (0.5, 15, 10), (1, 3, 4)):
        config["attack"]["inner_epochs"] = epochs
        config["reptile"].update(shot=shot, inner_batch=batch)
        row = row_of("O-1a-train", measured(ROUNDS, 1, ALL), config={"omniglot": config})
        assert row.attack_inner_steps == 320 * inner_steps(epochs, 5, shot, batch)


def test_the_papers_overlay_has_the_papers_scale():
    row = row_of("O-1a-train", measured(ROUNDS, 1, ALL), config={"omniglot": settings("paper.yaml")})
    stated = SCALE["omniglot"]
    assert row.attack_inner_steps == stated["attack_inner_steps"]
    assert row.pretraining_episodes == pytest.approx(stated["pretraining_episodes"], rel=0.03)
    assert (row.filters, row.image_size) == (stated["filters"], stated["image_size"])


@pytest.mark.parametrize(("dataset", "benign"), [("omniglot", 50), ("mini-imagenet", 100)])
def test_the_papers_overlay_has_the_papers_benign_rounds_after_the_attacked_one(dataset, benign):
    config = settings("paper.yaml")
    config = lay(config, config["overrides"].get(dataset.replace("-", "_"), {}))
    own = setup_of(config).settings
    assert scale(own)["rounds_after"] == SCALE[dataset]["rounds_after"] == benign
    after = paper.MOMENTS[f"after {benign} rounds"].latest
    assert max(config["evaluation"]["rounds"]) == config["meta_train_after"]["rounds"] == after == 1 + benign
    assert episodes_after_attack(after, own) == BENIGN_EPISODES[dataset]


def test_run_times_are_scaled_to_the_papers_amount_of_work():
    config = {"omniglot": RUN}
    times = benchmarks(
        pretrain__excluded=0.15 * 6600,  # the paper: 250 minutes for 100,000, that is 0.15 s each
        attack__excluded=0.03 * 1920 * 2,  # 1,250 minutes for 2,500,000: 0.03 s; here twice that
        adapt__excluded=1 * 500 * 8 * 2,  # one case and meta-testing; 0.195 s: five times
        adapt__included=1 * 500 * 8 * 3,
        meta_train_after__included=1.2 * 9 * 4 * 5 * 3,  # 80 minutes for 50,000: 0.096 s; here 12.5 times
    )
    frames = [measured(ROUNDS, 1, ALL), measured(SUPERVISED, 500, ALL)]
    rows = table_of(*frames, times=times, config=config).loc[TIMES]
    assert list(rows["mean"]) == pytest.approx([250, 2500, 40_000 / 60, 1000])
    # One seed has no interval, which could lie within 5% of the paper's minutes.
    assert list(rows.verdict) == ["same direction", "same direction", "same direction", "differs"]
    assert rows.step.iloc[0] == "6,600 episodes in 16.5 min"
    assert rows.half_width.isna().all()


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 7},
        {"rule": "adapt", "wildcards": "fine_tuning/client-3/attacked"},
        {"rule": "adapt", "wildcards": "noisy-start/client-2/attacked"},
        {"scope": "included"},
        {"dataset": "glyphs"},
    ],
)
def test_run_times_left_from_other_work_do_not_count(other):
    seconds = dict.fromkeys(("pretrain", "attack", "adapt", "meta_train_after"), 500.0)
    times = benchmarks(**{f"{rule}__excluded": value for rule, value in seconds.items()})
    frames = [measured(ROUNDS, 1, ALL, cases="a"), measured(SUPERVISED, 500, ALL, cases="a")]
    rows = table_of(*frames, times=times, config={"omniglot": RUN}).loc[TIMES]
    assert rows["mean"].notna().all()
    left = pd.concat([times, times.assign(**other, seconds=1.0)], ignore_index=True)
    again = table_of(*frames, times=left, config={"omniglot": RUN}).loc[TIMES]
    assert list(again["mean"]) == pytest.approx(list(rows["mean"]))


def test_run_times_of_every_variant_and_client_among_the_metrics_count():
    times = benchmarks(adapt__excluded=500.0)
    noisy = times.assign(wildcards="noisy-start/client-2/attacked", seconds=1500.0)
    frames = [measured(kind, 500, ALL, cases="a") for kind in (SUPERVISED, NOISY)]
    row = row_of("T-finetune-O", *frames, times=pd.concat([times, noisy]), config={"omniglot": RUN})
    assert row["mean"] == pytest.approx(1000 / (500 * 8 * 2) * 40_000 / 60)
    assert row.note.startswith("mean of 2 jobs")
    # Benign meta-training after the attack is behind Figure 3 alone.
    left = benchmarks(meta_train_after__excluded=5.0)
    assert "needs a run time" in row_of("T-post-O", *frames, times=left, config={"omniglot": RUN})["note"]


def test_filters_and_pixels_that_no_time_is_scaled_for_are_noted():
    def note(**other):
        config = {**RUN, **other}
        times = benchmarks(pretrain__excluded=100.0)
        return row_of("T-pretrain-O", measured(ROUNDS, 1, ALL), times=times, config={"omniglot": config})["note"]

    assert "not for" not in note()
    assert note(model={"filters": 32}).endswith("not for filters (32, the paper 64)")
    both = note(model={"filters": 32}, data={"size": 20})
    assert both.endswith("amount of work, not for filters (32, the paper 64) and image size (20, the paper 28)")


def test_run_times_of_several_seeds_have_an_interval():
    times = pd.concat([benchmarks(pretrain__excluded=value).assign(seed=seed) for seed, value in ((1, 150), (2, 210))])
    frames = [measured(ROUNDS, 1, ALL, seed=seed) for seed in (1, 2)]
    row = row_of("T-pretrain-O", *frames, times=times, config={"omniglot": RUN})
    minutes = [seconds / 6600 * 100_000 / 60 for seconds in (150, 210)]
    assert [row["mean"], row.half_width] == pytest.approx([np.mean(minutes), 12.7062 * stats.sem(minutes)], rel=1e-4)


def test_jobs_whose_time_is_not_known_do_not_count():
    times = pd.concat([benchmarks(pretrain__excluded=value).assign(seed=seed) for seed, value in ((1, 150), (2, None))])
    frames = [measured(ROUNDS, 1, ALL, seed=seed) for seed in (1, 2)]
    known = row_of("T-pretrain-O", *frames, times=times, config={"omniglot": RUN})
    assert known["mean"] == pytest.approx(150 / 6600 * 100_000 / 60)
    assert (known.verdict, known.note.partition(";")[0]) == ("same direction", "mean of 1 jobs")
    row = row_of("T-pretrain-O", *frames, times=times[times.seed == 2], config={"omniglot": RUN})
    assert (row.verdict, row.note) == ("", "not in this run: needs a run time of pretrain")


@pytest.mark.parametrize(
    ("minutes", "verdict"),
    [((250, 250), "agrees"), ((225, 275), "same direction"), ((20, 20), "differs"), ((20, 250), "unknown")],
)
def test_run_times_agree_if_their_interval_does_and_are_of_an_order_of_magnitude_if_each_is(minutes, verdict):
    times = [benchmarks(pretrain__excluded=60 * each * 0.066).assign(seed=seed) for seed, each in enumerate(minutes)]
    frames = [measured(ROUNDS, 1, ALL, seed=seed) for seed in (0, 1)]
    row = row_of("T-pretrain-O", *frames, times=pd.concat(times), config={"omniglot": RUN})
    assert row.verdict == verdict
    assert row.note.startswith("some jobs within") == (verdict == "unknown")


def test_an_attack_without_training_has_no_speed_and_no_steps():
    setup = setup_of(RUN)
    given = replace(setup, settings=setup.settings.model_copy(update={"attack": SimpleNamespace(method="given")}))
    frame = measured(ROUNDS, 1, ALL)
    times = behind(frame, benchmarks(attack__excluded=5.0), {})
    table = against_ours.compare(NUMBERS, frame, times, {"omniglot": given}).set_index("id")
    assert table.note["T-attack-O"] == "not in this run: needs inner epochs of attack"
    assert table.attack_inner_steps.isna().all()
    assert "attack.method given for one_shot" in table.note["O-1a-train"]


def test_times_of_jobs_that_another_scenario_has_made_count():
    frame = pd.concat([measured(ROUNDS, 1, ALL), measured(SUPERVISED, 500, ALL)])
    times = pd.concat([benchmarks(pretrain__excluded=990.0), benchmarks(adapt__excluded=500.0)])
    elsewhere = times.assign(scenario="first", wildcards=times.wildcards.str.replace("fine_tuning", "plain"))
    table = table_of(frame, times=elsewhere, config={"omniglot": RUN})
    assert "needs a run time" in table.note["T-pretrain-O"]
    made_by = {"omniglot": {"pretrain": "first", "adapt/fine_tuning/attacked": "first/plain"}}
    again = table_of(frame, times=elsewhere, config={"omniglot": RUN}, made_by=made_by).loc[TIMES]
    assert list(again["mean"])[:3:2] == pytest.approx([250, 500 / (500 * 8 * 2) * 40_000 / 60])
