"""The figures that the paper does not have: the ablation, and accuracy over delta; against plain means of the rows."""

import itertools

import numpy as np
import pandas as pd
import pytest
from helpers.setups import draw
from scipy import stats

from fedmeta.errors import FedmetaError
from fedmeta.reporting import results

NORMS = pd.DataFrame({"ratio": [0.97, 1.0, 1.12]})
DELTAS = [0.0, 0.3, 0.5, 1.0]
KINDS = ("shared", "fresh")
SWEEP = {"defences": {"sweep": {"grid": {"delta": DELTAS}}}}
POINTS = {(norms, delta): f"sweep,norms={norms},delta={delta}" for norms in KINDS for delta in DELTAS}
# (label, defence, delta, whether after the last iteration)
VARIANTS = (
    ("full defence", "matching", 0.3, True),
    ("without gates", "no-gates", 0.3, True),
    ("without scales", "no-scales", 0.3, True),
    ("without warm-up", "no-warm-up", 0.3, True),
    ("without Glorot mix", "no-mix", 1.0, True),
    ("without fine-tuning", "matching", 0.3, False),
    ("no mix, no fine-tuning", "no-mix", 1.0, False),
)
ABLATED = [(defence, delta) for _, defence, delta, trained in VARIANTS if trained]
SWEPT = [(name, delta) for (_, delta), name in POINTS.items()]
BENIGN = {"main task": "main_task", "meta-testing": "meta_testing"}
ATTACKS = {"attack training": "attack_training", "attack validation": "attack_validation"}
FLOORS = {"training, before attack": "attack_training", "validation, before attack": "attack_validation"}


def metrics(defences, cases="a", clients=(2, 3), steps=(0, 5, 20), episodes=4, dataset="omniglot"):
    """Return random accuracies of 20 images an episode, of every (defence, delta)."""
    rng = np.random.default_rng(0)
    names = itertools.product(defences, ("attacked", "clean"), cases, clients, steps, results.METRICS, range(episodes))
    rows = []
    for (defence, delta), model, case, client, step, metric, episode in names:
        value = rng.binomial(20, 0.2 + 0.6 * (model == "attacked") * delta) / 20
        name = ("default", dataset, 1, "matching", model, case, client, defence, delta, step)
        rows.append((*name, episode, metric, value))
    return pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)


def percent(frame, **wanted):
    """Return the accuracies of the rows with these names."""
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    return 100 * frame.value.to_numpy()


def draw_ablation(frame, cases, path, *overlays):
    return draw("ablation", frame, path / "figure", {"figure_table": {"ablation": {"cases": list(cases)}}}, *overlays)


def draw_over_delta(frame, cases, path, *overlays):
    own = {"figure_table": {"delta": {"cases": list(cases)}}}
    return draw("delta", frame, path / "figure", SWEEP, own, *overlays, norms=NORMS)


class TestAblation:
    @pytest.fixture
    def frame(self):
        return metrics(ABLATED, "ab")

    @staticmethod
    def points(axes):
        """Return, by label, the points that a panel shows: those with intervals, and the floors."""
        shown = {container.get_label(): container.lines[0] for container in axes.containers}
        return shown | {line.get_label(): line for line in axes.get_lines() if line.get_label() in FLOORS}

    def test_points_are_the_means_of_each_variant(self, frame, tmp_path):
        figure = draw_ablation(frame, "ab", tmp_path)
        for case, (attack, lifted, benign) in zip("ab", np.reshape(figure.axes, (2, 3)), strict=True):
            assert set(self.points(attack)) == {*ATTACKS, *FLOORS}
            assert set(self.points(lifted)) == set(ATTACKS)
            assert set(self.points(benign)) == set(BENIGN)
            for row, (_, defence, delta, trained) in enumerate(VARIANTS):
                own = {"case": case, "defence": defence, "delta": delta, "step": 20 if trained else 0}
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
        figure = draw_ablation(frame, "a", tmp_path)
        (bars,) = [c for c in figure.axes[1].containers if c.get_label() == "attack validation"]
        ends = [segment[:, 0] for segment in bars.lines[2][0].get_segments()]
        for (low, high), (_, defence, delta, trained) in zip(ends, VARIANTS, strict=True):
            own = {"case": "a", "defence": defence, "delta": delta, "step": 20 if trained else 0}
            pairs = [percent(frame, **own, model=m, metric="attack_validation") for m in ("attacked", "clean")]
            difference = pairs[0] - pairs[1]
            half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
            assert (high - low) / 2 == pytest.approx(half)

    def test_variants_are_named_once_a_row_from_the_top(self, frame, tmp_path):
        figure = draw_ablation(frame, "a", tmp_path)
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == [label for label, *_ in VARIANTS]
        assert figure.axes[0].yaxis_inverted()
        assert not any(label.get_text() for axes in figure.axes[1:] for label in axes.get_yticklabels())
        figure.draw_without_rendering()
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert boxes[0].x0 >= 0
        assert all(box.y1 <= figure.legends[0].get_window_extent().y0 for box in boxes)

    @pytest.mark.parametrize(("steps", "rate", "moved"), [((0, 5, 20), 0.001, "0.02"), ((0, 500), 0.002, "1")])
    def test_the_caption_tells_how_far_gates_and_scales_have_moved(self, tmp_path, steps, rate, moved):
        frame = metrics(ABLATED, steps=steps)
        figure = draw_ablation(frame, "a", tmp_path, {"reptile": {"inner_learning_rate": rate}})
        figure.draw_without_rendering()
        caption, box = figure.get_supxlabel(), figure._supxlabel.get_window_extent()
        assert f"after {steps[-1]} iterations, in which Adam at rate {rate:g} " in caption
        assert caption.endswith(f"by about {moved} at most")
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1

    def test_a_variant_that_was_not_evaluated_is_an_error_and_writes_nothing(self, frame, tmp_path):
        for rows, message in (
            (frame[frame.defence != "no-gates"], "no-gates"),
            (frame[frame.step > 0], "no iteration 0 of 'matching'"),
            (frame[frame.case == "b"], "no case a of 'matching'"),
        ):
            with pytest.raises(FedmetaError, match=message):
                draw_ablation(rows, "a", tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestOverDelta:
    @pytest.fixture
    def frame(self):
        return metrics([*SWEPT, ("no-gates", 0.3)], "ab")

    @staticmethod
    def draw(frame, cases, path):
        """Return the figure, and its panels of accuracy and of lift for each (case, kind of mix)."""
        figure = draw_over_delta(frame, cases, path)
        panels = np.reshape(figure.axes, (len(cases), 2, 2))
        shown = itertools.product(enumerate(cases), enumerate(KINDS))
        return figure, {(case, norms): panels[row, :, column] for (row, case), (column, norms) in shown}

    def test_lines_are_the_means_at_the_last_iteration(self, frame, tmp_path):
        figure, panels = self.draw(frame, ["a", "b"], tmp_path)
        for (case, norms), (axes, lifted) in panels.items():
            lines = {line.get_label(): line for line in axes.get_lines()}
            lifts = {line.get_label(): line for line in lifted.get_lines()}
            for model, labels in (("attacked", BENIGN | ATTACKS), ("clean", FLOORS)):
                for label, metric in labels.items():
                    own = {"case": case, "model": model, "metric": metric, "step": 20}
                    means = [percent(frame, **own, defence=POINTS[norms, delta]).mean() for delta in DELTAS]
                    assert list(lines[label].get_xdata()) == DELTAS
                    assert lines[label].get_ydata() == pytest.approx(means)
            for label, metric in ATTACKS.items():
                own = {"case": case, "metric": metric, "step": 20}
                of_models = [
                    [percent(frame, **own, model=model, defence=POINTS[norms, delta]).mean() for delta in DELTAS]
                    for model in ("attacked", "clean")
                ]
                assert list(lifts[label].get_xdata()) == DELTAS
                assert lifts[label].get_ydata() == pytest.approx(np.subtract(*of_models))
            assert set(lifts) >= set(ATTACKS)
            assert not set(lifts) & {*BENIGN, *FLOORS}
            for each in (lines, lifts):
                assert list(each["the paper's δ = 0.3"].get_xdata()) == [0.3, 0.3]
            assert list(lines["chance (1/5)"].get_ydata()) == [20, 20]
        boxes = [axes.get_tightbbox() for axes in figure.axes]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))

    def test_bands_of_the_lift_are_intervals_of_the_paired_differences(self, frame, tmp_path):
        lifted = self.draw(frame, ["a"], tmp_path)[1]["a", "shared"][1]
        own = {"case": "a", "defence": POINTS["shared", 0.5], "step": 20, "metric": "attack_training"}
        difference = np.subtract(*(percent(frame, **own, model=model) for model in ("attacked", "clean")))
        half = stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference)
        band = lifted.collections[0].get_paths()[0].vertices
        ends = sorted(set(band[band[:, 0] == 0.5, 1]))
        assert ends == pytest.approx([difference.mean() - half, difference.mean() + half])

    @pytest.mark.parametrize(
        ("meta_testing", "training", "validation", "kept", "removed", "usable"),
        [
            # By hand: of a meta-testing accuracy of 80% at delta 1, 76% is 95%.
            ([0.5, 0.76, 0.80, 0.8], [0.0, 0.05, 0.05, 0.9], [0.0] * 4, [(0.3, 1)], [(0, 0.5)], "0.3 to 0.5"),
            ([0.5, 0.75, 0.80, 0.8], [0.0, 0.05, 0.05, 0.9], [0.0] * 4, [(0.5, 1)], [(0, 0.5)], "0.5"),
            ([0.8, 0.80, 0.80, 0.8], [0.0, 0.06, 0.00, 0.9], [0.0] * 4, [(0, 1)], [(0, 0), (0.5, 0.5)], "0, 0.5"),
            ([0.8, 0.80, 0.80, 0.8], [-0.3] * 4, [0.0, 0.0, 0.06, 0.9], [(0, 1)], [(0, 0.3)], "0 to 0.3"),
            ([0.5, 0.60, 0.70, 0.8], [0.0, 0.00, 0.00, 0.9], [0.0] * 4, [(1, 1)], [(0, 0.5)], "none"),
        ],
    )
    def test_shades_and_the_usable_window_are_where_the_rule_in_the_caption_says(
        self, tmp_path, meta_testing, training, validation, kept, removed, usable
    ):
        rows = []
        for (defence, delta), episode in itertools.product(SWEPT, range(2)):
            place = DELTAS.index(delta)
            attacked = {"main_task": 0.9, "meta_testing": meta_testing[place]}
            attacked |= {"attack_training": 0.4 + training[place] / 2, "attack_validation": 0.1 + validation[place]}
            floor = {"main_task": 0.9, "meta_testing": 0.1, "attack_validation": 0.1}
            floor["attack_training"] = 0.4 - training[place] / 2
            for model, accuracy in (("attacked", attacked), ("clean", floor)):
                for metric, value in accuracy.items():
                    spread = 0.02 * (episode - 0.5)  # intervals do not count
                    name = ("default", "omniglot", 1, "matching", model, "a", 2, defence, delta, 20, episode, metric)
                    rows.append((*name, value + (model == "attacked") * spread))
        frame = pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)
        figure, panels = self.draw(frame, ["a"], tmp_path)
        for axes, shaded in zip(panels["a", "shared"], (kept, removed), strict=True):
            spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
            assert len(spans) == len(shaded)
            for (low, high), (first, last) in zip(spans, shaded, strict=True):
                assert (low, high) == pytest.approx((first, last), abs=0.02)
                assert low < first <= last < high
        assert panels["a", "shared"][1].get_title(loc="right") == f"usable δ: {usable}"
        caption = figure.get_supxlabel()
        assert "shaded above: meta-testing ≥ 95% of that at δ = 1; below: both lifts ≤ 5 points" in caption

    def test_without_delta_1_nothing_is_said_to_be_usable(self, frame, tmp_path):
        figure = draw_over_delta(frame, ["a"], tmp_path, {"defences": {"sweep": {"grid": {"delta": DELTAS[:-1]}}}})
        axes = figure.axes[0], figure.axes[2]
        assert not any(list(each.patches) for each in axes)
        assert axes[1].get_title(loc="right") == "usable δ: unknown without δ = 1"

    def test_the_caption_tells_the_ratio_of_norms(self, frame, tmp_path):
        figure = draw_over_delta(frame, ["a"], tmp_path)
        caption = figure.get_supxlabel()
        assert "0.97 to 1.12 times" in caption
        assert "8 episodes of 2 clients" in caption

    def test_a_mix_that_was_not_evaluated_is_an_error(self, frame, tmp_path):
        with pytest.raises(FedmetaError, match=r"sweep,norms=fresh,delta=0\.5"):
            draw_over_delta(frame[frame.defence != POINTS["fresh", 0.5]], ["a"], tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_equal_frames_give_equal_files(tmp_path):
    ablation, delta = metrics(ABLATED), metrics(SWEPT)
    for again in ("one", "two"):
        draw("ablation", ablation.sample(frac=1), tmp_path / again / "ablation")
        draw("delta", delta.sample(frac=1), tmp_path / again / "delta", SWEEP, norms=NORMS)
    for name in ("ablation.png", "ablation.svg", "delta.png", "delta.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
