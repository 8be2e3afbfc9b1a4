import itertools
import math

import numpy as np
import pandas as pd
import pytest
from helpers.random_metrics import metrics
from scipy import stats

from fedmeta.errors import FedmetaError
from fedmeta.reporting import results


def values_of(frame, **wanted):
    """Return the values of the rows with these names, by a plain loop."""
    rows = frame.to_dict("records")
    return [row["value"] for row in rows if all(row[name] == value for name, value in wanted.items())]


def only(table, **wanted):
    """Return the one row of the table with these names."""
    rows = [row for row in table.to_dict("records") if all(row[name] == value for name, value in wanted.items())]
    assert len(rows) == 1
    return rows[0]


def test_with_one_seed_the_interval_is_students_t_over_episodes():
    frame = metrics(episodes=7)
    table = results.summarise(frame)
    for case, client, step, metric in itertools.product("ab", (2, 3), (0, 10), results.METRICS):
        name = {"model": "attacked", "case": case, "client": client, "step": step, "metric": metric}
        values = values_of(frame, **name)
        row = only(table, **name)
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (row["n_episodes"], row["n_seeds"]) == (7, 1)
        assert row["mean"] == pytest.approx(np.mean(values))
        assert [row["mean"] - row["half_width"], row["mean"] + row["half_width"]] == pytest.approx([low, high])
    assert len(table) == 2 * 2 * 2 * 2 * 4


def test_with_several_seeds_the_interval_is_students_t_over_seed_means():
    unequal = pd.concat([metrics(seeds=(0, 1), episodes=6), metrics(seeds=(2,), episodes=3, rng_seed=1)])
    name = {"model": "clean", "case": "b", "client": 3, "step": 10, "metric": "main_task"}
    means = [np.mean(values_of(unequal, seed=seed, **name)) for seed in range(3)]
    row = only(results.summarise(unequal), **name)
    # The 97.5% quantile of Student's t with two degrees of freedom, from a printed table.
    assert row["half_width"] == pytest.approx(4.302653 * np.std(means, ddof=1) / math.sqrt(3), rel=1e-6)
    assert row["mean"] == pytest.approx(sum(means) / 3)
    assert (row["n_episodes"], row["n_seeds"]) == (15, 3)


def test_the_interval_over_seeds_covers_the_truth_where_one_over_episodes_fails():
    rng = np.random.default_rng(0)
    base = metrics(seeds=range(5), clients=(2,), steps=(0,), episodes=40, cases="a").query("model == 'clean'")
    base = base[base.metric == "main_task"].sort_values(["seed", "episode"])
    covered = {"nested": 0, "flat": 0}
    for _ in range(100):
        values = 0.5 + np.repeat(rng.normal(0, 0.1, 5), 40) + rng.normal(0, 0.1, 200)
        row = results.summarise(base.assign(value=values)).iloc[0]
        covered["nested"] += abs(row["mean"] - 0.5) <= row["half_width"]
        covered["flat"] += abs(row["mean"] - 0.5) <= 1.96 * stats.sem(values)
    assert covered["nested"] > 88
    assert covered["flat"] < 60


def test_the_interval_over_seeds_is_that_of_a_nested_analysis_of_variance():
    frame = metrics(seeds=range(4), clients=(2, 3), episodes=5)
    name = {"model": "attacked", "case": "a", "step": 10, "metric": "main_task"}
    of_seeds = np.array([values_of(frame, seed=seed, **name) for seed in range(4)])
    between = stats.f_oneway(*of_seeds).statistic * of_seeds.var(axis=1, ddof=1).mean()  # mean square between seeds
    by = [column for column in results.SUMMARY_KEY if column != "client"]
    row = only(results.summarise(frame, by), **name)
    assert row["half_width"] == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(between / of_seeds.size))
    assert row["mean"] == pytest.approx(of_seeds.mean())


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.2])
def test_the_nested_interval_covers_the_truth_19_times_in_20_whatever_the_seeds_differ(spread):
    rng = np.random.default_rng(1)
    draws, seeds, episodes = 300, 4, 6
    truth = rng.normal(0.5, spread, (draws, seeds, 1))
    frame = pd.DataFrame(np.argwhere(np.ones((draws, seeds, episodes))), columns=["draw", "seed", "episode"])
    frame = frame.assign(client=2, value=rng.normal(truth, 0.1, (draws, seeds, episodes)).ravel())
    table = results.summarise(frame, ["draw"])
    covered = (abs(table["mean"] - 0.5) <= table.half_width).sum()
    low, high = stats.binom.interval(0.999, draws, 0.95)
    assert low <= covered <= high


def test_one_episode_has_a_mean_and_no_interval():
    table = results.summarise(metrics(episodes=1))
    assert table["half_width"].isna().all()
    assert table["mean"].notna().all()
    assert (table["n_episodes"] == 1).all()


def test_pooled_clients_bring_their_own_episodes():
    frame = metrics(episodes=5)
    by = [column for column in results.SUMMARY_KEY if column != "client"]
    name = {"model": "attacked", "case": "a", "step": 0, "metric": "meta_testing"}
    values = values_of(frame, **name)
    row = only(results.summarise(frame, by), **name)
    assert len(values) == row["n_episodes"] == 10
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["half_width"] == pytest.approx(stats.t.ppf(0.975, 9) * stats.sem(values))


def test_one_episode_in_several_cases_counts_once():
    frame = metrics(clients=(2,), steps=(0,), episodes=5)
    doubled = frame[frame.case == "a"]
    doubled = pd.concat([doubled, doubled.assign(case="b")])
    by = ["model", "metric"]
    pd.testing.assert_frame_equal(results.summarise(doubled, by), results.summarise(frame[frame.case == "a"], by))


def test_what_does_not_apply_is_a_group_of_its_own():
    frame = metrics().query("client == 2").assign(client=pd.array([pd.NA] * (len(metrics()) // 2), dtype="Int64"))
    table = results.summarise(pd.concat([frame, frame.assign(defence="glorot_mix", delta=0.3)]))
    assert table["client"].isna().all()
    assert len(table) == 2 * 2 * 2 * 2 * 4
    assert (table["delta"] == 0.3).sum() == (table["delta"].isna() & (table["defence"] == "fine_tuning")).sum() == 32


def test_lift_is_the_difference_of_each_episodes_pair():
    frame = metrics(seeds=(0, 1), episodes=2)
    table = results.lift(frame)
    assert len(table) == 2 * 2 * 2 * 2 * 2 * 2
    assert list(table.columns) == results.COLUMNS
    assert set(table.model) == {"attacked"}
    assert set(table.metric) == {"attack_training_lift", "attack_validation_lift"}
    for row in table.to_dict("records"):
        name = {column: row[column] for column in ("seed", "case", "client", "step", "episode")}
        name["metric"] = row["metric"].removesuffix("_lift")
        ((attacked,), (clean,)) = (values_of(frame, model=model, **name) for model in ("attacked", "clean"))
        assert row["value"] == attacked - clean


def test_lift_of_a_constant_gain_has_no_spread():
    attacked = metrics().query("model == 'attacked'").assign(value=lambda rows: rows.value / 2 + 0.25)
    clean = attacked.assign(model="clean", value=attacked.value - 0.25)
    table = results.summarise(results.lift(pd.concat([attacked, clean])))
    assert table["mean"].to_numpy() == pytest.approx(0.25)
    assert table["half_width"].to_numpy() == pytest.approx(0)


@pytest.mark.parametrize("model", ["attacked", "clean"])
def test_a_missing_partner_is_an_error_that_names_it(model):
    frame = metrics()
    gone = (frame.model == model) & (frame.metric == "attack_training") & (frame.step == 10) & (frame.episode == 2)
    with pytest.raises(FedmetaError, match=f"4 attack accuracies lack .* evaluate the {model} model"):
        results.lift(frame[~gone])


def test_summary_has_accuracies_and_lifts(tmp_path):
    frame = metrics()
    table = results.summary_table(frame)
    name = {"model": "attacked", "case": "b", "client": 2, "step": 10}
    attacked, clean, gained = (
        only(table, **{**name, "model": model, "metric": metric})["mean"]
        for model, metric in (
            ("attacked", "attack_validation"),
            ("clean", "attack_validation"),
            ("attacked", "attack_validation_lift"),
        )
    )
    assert gained == pytest.approx(attacked - clean)
    assert len(table) == 2 * 2 * 2 * (4 + 4 + 2)
    results.write_table(table, tmp_path / "tables/summary.csv")
    back = pd.read_csv(tmp_path / "tables/summary.csv")
    assert back["mean"].to_numpy() == pytest.approx(table["mean"].to_numpy(), abs=1e-6)
    assert list(back.columns) == [*results.SUMMARY_KEY, "mean", "half_width", "n_episodes", "n_seeds"]
