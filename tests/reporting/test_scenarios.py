"""Scenarios side by side: the figure and the table that compare them, and the table of the server's decisions."""

import numpy as np
import pandas as pd
import pytest
from helpers.drawn_metrics import MATCHING, PLAIN, ROUNDS, metrics
from helpers.setups import settings, setup_of
from scipy import stats

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.reporting.comparison import aggregation_table, comparison_table, rejection_table
from fedmeta.reporting.setup import About
from fedmeta.settings import lay

OPTIONS = {"kind": "scenarios", "defences": ["fine_tuning", "matching"]}
SCENARIOS = ("weak", "strong")


@pytest.fixture(scope="module")
def frame():
    kinds = pd.concat(
        [metrics(ROUNDS, steps=(0, 1, 10)), metrics(PLAIN, steps=(0, 50)), metrics(MATCHING, steps=(0, 50))]
    )
    attack = kinds.metric.str.startswith("attack")
    weak = kinds.assign(scenario="weak", value=kinds.value.where(~attack | (kinds.model == "clean"), kinds.value / 2))
    return pd.concat([weak, kinds.assign(scenario="strong")], ignore_index=True)


def draw_scenarios(frame, path, **options):
    kind = plugins.load("figure", "scenarios")
    about = About("omniglot", {name: setup_of(lay(settings(), {})) for name in SCENARIOS})
    return kind.draw(frame, kind.Options.model_validate(OPTIONS | options), about, path)


def percent(frame, **wanted):
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return 100 * frame.sort_values(["client", "episode"]).value.to_numpy()


def test_every_metric_has_a_panel_with_each_scenario_defence_and_floor(frame, tmp_path):
    figure = draw_scenarios(frame, tmp_path / "figure", cases=["a", "c"])
    panels = np.reshape(figure.axes, (2, 4))
    assert [label.get_text() for label in panels[0, 0].get_yticklabels()] == list(SCENARIOS)
    shown = {"after round 1": ("", 1), "after the last round": ("", 10)}
    shown |= {"fine_tuning": ("fine_tuning", 50), "matching": ("matching", 50)}
    order = ("main_task", "attack_training", "attack_validation", "meta_testing")
    for case, row in zip("ac", panels, strict=True):
        for metric, axes in zip(order, row, strict=True):
            points = {container.get_label(): container for container in axes.containers}
            floors = [line for line in axes.get_lines() if line.get_marker() == "|"]
            assert list(points) == list(shown)
            assert len(floors) == (4 if metric.startswith("attack") else 0)
            for place, (label, (defence, step)) in enumerate(shown.items()):
                for height, scenario in enumerate(SCENARIOS):
                    own = {"scenario": scenario, "case": case, "metric": metric, "defence": defence, "step": step}
                    values = percent(frame, **own, model="attacked")
                    assert points[label].lines[0].get_xdata()[height] == pytest.approx(values.mean())
                    assert round(points[label].lines[0].get_ydata()[height]) == height
                    (low, _), (high, _) = points[label].lines[2][0].get_segments()[height]
                    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
                    ends = np.clip([values.mean() - half, values.mean() + half], 0, 100)
                    assert [low, high] == pytest.approx(ends)
                    if floors:
                        floor = percent(frame, **own, model="clean").mean()
                        assert floors[place].get_xdata()[height] == pytest.approx(floor)
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert all(box.x0 >= 0 and box.y1 <= figure.legends[0].get_window_extent().y0 for box in boxes)


def test_a_scenario_that_was_not_evaluated_is_an_error(frame, tmp_path):
    with pytest.raises(FedmetaError, match="scenario 'strong'"):
        draw_scenarios(frame[frame.scenario == "weak"], tmp_path / "figure")
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_the_last_step_with_floor_and_paired_lift(frame):
    table = comparison_table(frame)
    assert set(table.step[table.defence == ""]) == {10}
    assert len(table) == 2 * 3 * 3 * 2 * 4  # scenarios, defences, cases, clients, metrics
    row = table.query("scenario == 'weak' and defence == 'matching' and case == 'b' and client == 3")
    row = row.set_index("metric")
    own = {"scenario": "weak", "defence": "matching", "case": "b", "client": 3, "step": 50}
    attacked, clean = (percent(frame, **own, model=m, metric="attack_training") for m in ("attacked", "clean"))
    lift = attacked - clean
    half = stats.t.ppf(0.975, 4) * stats.sem(lift)
    columns = ["mean", "floor", "lift", "lift_half_width"]
    expected = [attacked.mean(), clean.mean(), lift.mean(), half]
    assert list(100 * row.loc["attack_training", columns].astype(float)) == pytest.approx(expected)
    assert row.loc["main_task", ["lift", "lift_half_width"]].isna().all()
    assert row.loc["main_task", "floor"] == pytest.approx(
        percent(frame, **own, model="clean", metric="main_task").mean() / 100
    )


def test_decisions_are_gathered_with_the_run_that_they_are_of(tmp_path):
    table = pd.DataFrame({"stage": ["attack"], "round": [1], "user": [1], "weight": [0.0], "rejected": [True]})
    table.to_csv(tmp_path / "one.csv", index=False)
    table.assign(user=2).to_csv(tmp_path / "two.csv", index=False)
    runs = [("weak", "glyphs", 1, "excluded", [1]), ("strong", "glyphs", 1, "included", [1, 3])]
    gathered = aggregation_table([str(tmp_path / "one.csv"), str(tmp_path / "two.csv")], runs)
    assert list(gathered) == ["scenario", "dataset", "seed", "scope", *table, "attacker"]
    assert list(gathered.itertuples(index=False, name=None)) == [
        (*runs[0][:4], "attack", 1, 1, 0.0, True, 1),
        (*runs[1][:4], "attack", 1, 2, 0.0, True, 0),
    ]
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FedmetaError, match=r"bad\.csv is not a table of decisions"):
        aggregation_table([str(tmp_path / "bad.csv")], runs[:1])


def test_rates_of_rejection_are_counted_by_hand_for_each_stage_of_each_run():
    rows = [  # scenario, seed, scope, stage, round, user, rejected; user 1 attacks
        *(("weak", 1, "excluded", "pre-training", number, user, user == 2) for number in (1, 2) for user in (2, 3)),
        *(("weak", 1, "excluded", "attacked round", 1, user, user == 1) for user in (1, 2, 3)),
        *(("weak", 2, "excluded", "attacked round", 1, user, False) for user in (1, 2, 3)),
        *(("weak", 1, "excluded", "meta-training after", number, 1, number == 2) for number in (2, 3, 4, 5)),
        ("strong", 1, "included", "attacked round", 1, 4, True),
    ]
    names = ["scenario", "seed", "scope", "stage", "round", "user", "rejected"]
    frame = pd.DataFrame(rows, columns=names).assign(dataset="glyphs", weight=0.5)
    table = rejection_table(frame.assign(rejected=frame.rejected.astype(int), attacker=(frame.user == 1).astype(int)))
    assert list(table) == [
        *("scenario", "dataset", "seed", "scope", "stage"),
        *("attack_updates", "true_positive_rate", "benign_updates", "false_positive_rate"),
    ]
    expected = [
        ("weak", "glyphs", 1, "excluded", "pre-training", 0, None, 4, 0.5),
        ("weak", "glyphs", 1, "excluded", "attacked round", 1, 1.0, 2, 0.0),
        ("weak", "glyphs", 2, "excluded", "attacked round", 1, 0.0, 2, 0.0),
        ("weak", "glyphs", 1, "excluded", "meta-training after", 4, 0.25, 0, None),
        ("strong", "glyphs", 1, "included", "attacked round", 0, None, 1, 1.0),
    ]
    found = [tuple(None if value != value else value for value in row) for row in table.itertuples(index=False)]
    assert found == expected
    nothing = aggregation_table([], [])
    assert rejection_table(nothing).empty and list(rejection_table(nothing)) == list(table)
