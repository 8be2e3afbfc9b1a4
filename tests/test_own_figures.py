"""The figures that the paper does not have: the ablation, and accuracy over delta; against plain means of the rows."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fedmeta.errors import FedmetaError
from fedmeta.reporting import results
from fedmeta.reporting.ablation import draw_ablation
from fedmeta.reporting.contents import ABLATIONS, Content, contents_of
from fedmeta.reporting.over_delta import draw_over_delta

DEFENCES = {"shared": "matching", "fresh": "matching_fresh_norms"}
NORMS = pd.DataFrame({"ratio": [0.97, 1.0, 1.12]})
DELTAS = [0.0, 0.3, 0.5, 1.0]
SETTINGS = {"figure_delta": {"deltas": DELTAS}, "glorot_mix": {"norms": "shared"}}
BENIGN = {"main task": "main_task", "meta-testing": "meta_testing"}
ATTACKS = {"attack training": "attack_training", "attack validation": "attack_validation"}
FLOORS = {"training, before attack": "attack_training", "validation, before attack": "attack_validation"}


def metrics(contents, cases="a", clients=(2, 3), steps=(0, 5, 20), episodes=4, dataset="omniglot"):
    """Return random accuracies of 20 images an episode, of every content."""
    rng = np.random.default_rng(0)
    names = itertools.product(contents, ("attacked", "clean"), cases, clients, steps, results.METRICS, range(episodes))
    rows = []
    for (experiment, defence, delta), model, case, client, step, metric, episode in names:
        value = rng.binomial(20, 0.2 + 0.6 * (model == "attacked") * (delta or 0)) / 20
        rows.append((dataset, 1, experiment, model, case, client, defence, delta, step, episode, metric, value))
    return pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)


def percent(frame, **wanted):
    """Return the accuracies of the rows with these names."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return 100 * frame.value.to_numpy()


class TestAblation:
    @pytest.fixture
    def frame(self):
        return metrics(contents_of("ablation", SETTINGS), "ab")

    @staticmethod
    def points(axes):
        """Return, by label, the points that a panel shows: those with intervals, and the floors."""
        shown = {container.get_label(): container.lines[0] for container in axes.containers}
        return shown | {line.get_label(): line for line in axes.get_lines() if line.get_label() in FLOORS}

    def test_points_are_the_means_of_each_variant(self, frame, tmp_path):
        figure = draw_ablation(frame, "omniglot", ["a", "b"], tmp_path / "figure", way=5)
        for case, (attack, lifted, benign) in zip("ab", np.reshape(figure.axes, (2, 3)), strict=True):
            assert set(self.points(attack)) == {*ATTACKS, *FLOORS}
            assert set(self.points(lifted)) == set(ATTACKS)
            assert set(self.points(benign)) == set(BENIGN)
            for row, (_, content, trained) in enumerate(ABLATIONS):
                own = {"case": case, "defence": content.defence, "delta": content.delta, "step": 20 if trained else 0}
                for axes, model, labels in (
                    (attack, "attacked", ATTACKS),
                    (attack, "clean", FLOORS),
                    (benign, "attacked", BENIGN),
                ):
                    for label, metric in labels.items():
                        point = self.points(axes)[label]
                        expected = percent(frame, **own, model=model, metric=metric).mean()
                        assert point.get_xdata()[row] == pytest.approx(expected)
                        assert round(point.get_ydata()[row]) == row
                for label, metric in ATTACKS.items():
                    of_models = [percent(frame, **own, model=model, metric=metric) for model in ("attacked", "clean")]
                    expected = np.mean(of_models[0]) - np.mean(of_models[1])
                    assert self.points(lifted)[label].get_xdata()[row] == pytest.approx(expected)

    def test_bars_of_the_lift_are_intervals_of_the_paired_differences(self, frame, tmp_path):
        figure = draw_ablation(frame, "omniglot", ["a"], tmp_path / "figure", way=5)
        (bars,) = [c for c in figure.axes[1].containers if c.get_label() == "attack validation"]
        ends = [segment[:, 0] for segment in bars.lines[2][0].get_segments()]
        for (low, high), (_, content, trained) in zip(ends, ABLATIONS, strict=True):
            own = {"case": "a", "defence": content.defence, "delta": content.delta, "step": 20 if trained else 0}
            pairs = [percent(frame, **own, model=m, metric="attack_validation") for m in ("attacked", "clean")]
            difference = pairs[0] - pairs[1]
            half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
            assert (high - low) / 2 == pytest.approx(half)

    def test_variants_are_named_once_a_row_from_the_top(self, frame, tmp_path):
        figure = draw_ablation(frame, "omniglot", ["a"], tmp_path / "figure", way=5)
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == [ablation.label for ablation in ABLATIONS]
        assert figure.axes[0].yaxis_inverted()
        assert not any(label.get_text() for axes in figure.axes[1:] for label in axes.get_yticklabels())
        figure.draw_without_rendering()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert boxes[0].x0 >= 0
        assert all(box.y1 <= figure.legends[0].get_window_extent().y0 for box in boxes)

    def test_a_variant_that_was_not_evaluated_is_an_error_and_writes_nothing(self, frame, tmp_path):
        for rows, message in (
            (frame[frame.defence != "matching_no_gates"], "matching_no_gates"),
            (frame[frame.step > 0], "no case a for 'without fine-tuning' at iteration 0"),
            (frame[frame.case == "b"], "no case a for 'full defence'"),
        ):
            with pytest.raises(FedmetaError, match=message):
                draw_ablation(rows, "omniglot", ["a"], tmp_path / "figure", way=5)
        assert list(tmp_path.iterdir()) == []


class TestOverDelta:
    @pytest.fixture
    def frame(self):
        return metrics([*contents_of("delta", SETTINGS), Content("matching", "matching_no_gates", 0.3)], "ab")

    def test_lines_are_the_means_at_the_last_iteration(self, frame, tmp_path):
        figure = draw_over_delta(frame, NORMS, "omniglot", DEFENCES, ["a", "b"], tmp_path / "figure", way=5)
        panels = itertools.product("ab", DEFENCES.values())
        for (case, defence), axes in zip(panels, figure.axes, strict=True):
            lines = {line.get_label(): line for line in axes.get_lines()}
            for model, labels in (("attacked", BENIGN | ATTACKS), ("clean", FLOORS)):
                for label, metric in labels.items():
                    own = {"case": case, "defence": defence, "model": model, "metric": metric, "step": 20}
                    means = [percent(frame, **own, delta=delta).mean() for delta in DELTAS]
                    assert list(lines[label].get_xdata()) == DELTAS
                    assert lines[label].get_ydata() == pytest.approx(means)
            assert list(lines["the paper's δ = 0.3"].get_xdata()) == [0.3, 0.3]
            assert list(lines["chance (1/5)"].get_ydata()) == [20, 20]

    def test_the_caption_tells_the_ratio_of_norms(self, frame, tmp_path):
        figure = draw_over_delta(frame, NORMS, "omniglot", DEFENCES, ["a"], tmp_path / "figure", way=5)
        title = figure.legends[0].get_title().get_text()
        assert "0.97 to 1.12 times" in title
        assert "8 episodes of 2 clients" in title

    def test_a_mix_that_was_not_evaluated_is_an_error(self, frame, tmp_path):
        with pytest.raises(FedmetaError, match="matching_fresh_norms"):
            rows = frame[frame.defence != "matching_fresh_norms"]
            draw_over_delta(rows, NORMS, "omniglot", DEFENCES, ["a"], tmp_path / "figure", way=5)
        assert list(tmp_path.iterdir()) == []


def test_equal_frames_give_equal_files(tmp_path):
    ablation, delta = (metrics(contents_of(name, SETTINGS)) for name in ("ablation", "delta"))
    for again in ("one", "two"):
        draw_ablation(ablation.sample(frac=1), "omniglot", ["a"], tmp_path / again / "ablation", way=5)
        draw_over_delta(delta.sample(frac=1), NORMS, "omniglot", DEFENCES, ["a"], tmp_path / again / "delta", way=5)
    for name in ("ablation.png", "ablation.svg", "delta.png", "delta.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
