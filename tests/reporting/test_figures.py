import itertools

import numpy as np
import pandas as pd
import pytest
from helpers.drawn_metrics import MATCHING, PLAIN, ROUNDS, metrics
from helpers.setups import draw
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import stats

# (model, metric) by the name in the legend.
LINES = {
    "main task": ("attacked", "main_task"),
    "meta-testing": ("attacked", "meta_testing"),
    "attack training": ("attacked", "attack_training"),
    "attack validation": ("attacked", "attack_validation"),
    "training, before attack": ("clean", "attack_training"),
    "validation, before attack": ("clean", "attack_validation"),
}


def lines_of(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def legend_of(figure):
    (legend,) = figure.legends
    return legend, [text.get_text() for text in legend.get_texts()]


def assert_lines_show_means(axes, rows, steps):
    """Check every line of a panel against plain means over the rows."""
    for label, (model, metric) in LINES.items():
        line = lines_of(axes)[label]
        measured = rows[(rows.model == model) & (rows.metric == metric)]
        means = [100 * np.mean(measured.value[measured.step == step]) for step in steps]
        assert list(line.get_xdata()) == list(steps)
        assert line.get_ydata() == pytest.approx(means)


# What is drawn


def test_rounds_panels_are_the_cases_with_all_clients_pooled(tmp_path):
    steps = (0, 1, 2, 5, 50)
    frame = metrics(ROUNDS, steps=steps)
    figure = draw("3", frame, tmp_path / "figure-3")
    assert [axes.get_title(loc="left")[:3] for axes in figure.axes] == ["(a)", "(b)", "(c)"]
    for case, axes in zip("abc", figure.axes, strict=True):
        assert_lines_show_means(axes, frame[frame.case == case], steps)
        assert axes.get_xlabel() == "round"
        assert axes.get_xscale() == "linear"
    assert figure.axes[0].get_ylabel() == "accuracy (%)"


@pytest.mark.parametrize("kind", [PLAIN, MATCHING])
def test_fine_tuning_has_a_row_for_each_case_and_a_column_for_each_client(tmp_path, kind):
    frame = metrics(kind, clients=(2, 4))
    other = metrics(kind, "glyphs", clients=(2, 4)).assign(value=0.0)
    frame = pd.concat([frame, other, metrics(("matching", "matching-0.6", 0.6)).assign(value=0.0)])
    figure = draw("5" if kind == PLAIN else "7", frame, tmp_path / "figure")
    assert len(figure.axes) == 6
    wanted = frame[(frame.dataset == "omniglot") & (frame.experiment == kind[0]) & ~(frame.delta == 0.6)]
    for (case, client), axes in zip(itertools.product("abc", (2, 4)), figure.axes, strict=True):
        assert axes.get_title(loc="left") == f"client {client}"
        assert_lines_show_means(axes, wanted[(wanted.case == case) & (wanted.client == client)], (0, 1, 10, 100))


def test_a_single_client_has_its_cases_side_by_side(tmp_path):
    frame = metrics(clients=(3,), cases="ac")
    figure = draw("5", frame, tmp_path / "figure")
    assert [axes.get_title(loc="left")[:3] for axes in figure.axes] == ["(a)", "(c)"]
    assert [axes.get_subplotspec().colspan.start for axes in figure.axes] == [0, 1]
    for case, axes in zip("ac", figure.axes, strict=True):
        assert_lines_show_means(axes, frame[frame.case == case], (0, 1, 10, 100))


def test_bands_are_the_95_percent_intervals_within_0_and_100(tmp_path):
    frame = metrics(cases="a", clients=(2,), steps=(0, 1, 10), episodes=6)
    figure = draw("5", frame, tmp_path / "figure")
    bands = {tuple(band.get_facecolor()[0][:3]): band for band in figure.axes[0].collections}
    assert len(bands) == 4
    for label in ("main task", "attack validation"):
        band = bands[to_rgb(lines_of(figure.axes[0])[label].get_color())]
        corners = band.get_paths()[0].vertices
        for step in (0, 1, 10):
            model, metric = LINES[label]
            values = 100 * frame.value[(frame.model == model) & (frame.metric == metric) & (frame.step == step)]
            low, high = stats.t.interval(0.95, 5, loc=np.mean(values), scale=stats.sem(values) or 1e-12)
            drawn = corners[corners[:, 0] == step, 1]
            assert [drawn.min(), drawn.max()] == pytest.approx([max(low, 0), min(high, 100)])


@pytest.mark.parametrize("figure_name", ["3", "5"])
@pytest.mark.parametrize(("seeds", "drawn"), [(1, 0), (2, 2), (5, 5), (6, 0)])
def test_a_few_seeds_have_thin_lines_of_their_own(tmp_path, figure_name, seeds, drawn):
    frame = metrics(ROUNDS if figure_name == "3" else PLAIN, seeds=range(seeds), cases="a", clients=(3,), steps=(0, 1))
    figure = draw(figure_name, frame, tmp_path / "figure")
    (axes,) = figure.axes
    for label in list(LINES)[:4]:
        model, metric = LINES[label]
        rows = frame[(frame.model == model) & (frame.metric == metric)]
        colour = lines_of(axes)[label].get_color()
        thin = [line for line in axes.get_lines() if line.get_color() == colour and line.get_linewidth() < 0.6]
        assert len(thin) == drawn
        for seed, line in enumerate(thin):
            own = rows[rows.seed == seed]
            means = [100 * own.value[own.step == step].mean() for step in (0, 1)]
            assert list(line.get_ydata()) == pytest.approx(means)
    assert ("thin lines: single seeds" in figure.get_supxlabel()) == (drawn > 0)


def test_colours_and_styles_mean_what_the_paper_means(tmp_path):
    figure = draw("3", metrics(ROUNDS), tmp_path / "figure")
    lines = lines_of(figure.axes[1])
    red, green, blue = np.transpose([to_rgb(lines[label].get_color()) for label in LINES])
    main, meta, training, validation, floor_training, floor_validation = range(6)
    assert red[meta] == green[meta] == blue[meta] == 0
    assert green[main] < red[main] < blue[main]
    assert blue[training] > max(red[training], green[training])
    assert green[validation] > max(red[validation], blue[validation])
    for attack, floor in ((training, floor_training), (validation, floor_validation)):
        assert all(part[floor] > part[attack] for part in (red, green, blue))
    attacked, clean = list(LINES)[:4], list(LINES)[4:]
    assert len({lines[label].get_marker() for label in attacked}) == 4
    assert all(lines[label].get_linestyle() == "-" and lines[label].get_marker() != "None" for label in attacked)
    assert all(lines[label].get_linestyle() == "--" and lines[label].get_marker() == "None" for label in clean)


@pytest.mark.parametrize(("way", "percent"), [(5, 20), (20, 5)])
def test_chance_and_the_attacked_round_are_marked(tmp_path, way, percent):
    figure = draw("3", metrics(ROUNDS), tmp_path / "figure", {"reptile": {"way": way}})
    for axes in figure.axes:
        assert list(lines_of(axes)[f"chance (1/{way})"].get_ydata()) == [percent, percent]
        assert list(lines_of(axes)["attacked round"].get_xdata()) == [1, 1]


def test_lines_that_coincide_all_show(tmp_path):
    """At 100% from the first iteration on, none of the four lies hidden under another, nor do the floors at 0%."""
    frame = metrics(cases="a", clients=(2,))
    frame = frame.assign(value=np.where((frame.model == "clean") & frame.metric.str.startswith("attack"), 0.0, 1.0))
    figure = draw("5", frame, tmp_path / "figure")
    axes = figure.axes[0]
    with Image.open(tmp_path / "figure.png") as image:
        left, bottom, right, top = axes.get_window_extent().extents * image.size[0] / figure.bbox.width
        panel = np.asarray(image.convert("RGB").crop((left, image.size[1] - top, right, image.size[1] - bottom)))
    for label in LINES:
        colour = 255 * np.array(to_rgb(lines_of(axes)[label].get_color()))
        columns = (abs(panel - colour) < 45).all(2).any(0)  # where the colour shows, but for the smoothing of edges
        assert columns.mean() > 0.2, f"{label} is hidden"


def test_each_panel_names_the_lift_that_is_left_at_its_last_step(tmp_path):
    for kind, name, clients in ((PLAIN, "5", (2, 3)), (ROUNDS, "3", (3,))):
        frame = metrics(kind, clients=clients, cases="ac")
        figure = draw(name, frame, tmp_path / "figure")
        for (case, client), axes in zip(itertools.product("ac", clients), figure.axes, strict=True):
            rows = frame[(frame.case == case) & (frame.client == client) & (frame.step == 100)]
            words = []
            for metric in ("attack_training", "attack_validation"):
                attacked, clean = (rows[(rows.model == m) & (rows.metric == metric)] for m in ("attacked", "clean"))
                lifts = 100 * (attacked.sort_values("episode").value.values - clean.sort_values("episode").value.values)
                low, high = stats.t.interval(0.95, 4, loc=np.mean(lifts), scale=stats.sem(lifts))
                words.append(f"{np.mean(lifts):+.0f}±{(high - low) / 2:.0f}")
            assert axes.get_title(loc="right") == f"lift {' / '.join(words)}"
        assert "lift: attack accuracy above that before the attack" in figure.get_supxlabel()


@pytest.mark.parametrize(("order", "words"), [("last", "at its last output"), ("random", "in random order")])
def test_what_goes_through_the_last_layer_says_where_the_target_is(tmp_path, order, words):
    for kind, name in ((ROUNDS, "3"), (PLAIN, "5"), (MATCHING, "7")):
        frame = metrics(kind)
        figure = draw(name, frame, tmp_path / "figure", {"evaluation": {"target_output": order}})
        caption = figure.get_supxlabel()
        assert (words in caption) == (name != "7")


# That it can be read


def test_the_legend_names_every_line_once_and_hides_nothing(tmp_path):
    for kind in ("3", "5"):
        frame = metrics(ROUNDS if kind == "3" else PLAIN)
        figure = draw(kind, frame, tmp_path / "figure")
        figure.draw_without_rendering()
        legend, labels = legend_of(figure)
        extra = ["chance (1/5)"] + (["attacked round"] if kind == "3" else [])
        assert sorted(labels) == sorted([*LINES, *extra])
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        assert all(axes.get_tightbbox().y1 <= box.y0 for axes in figure.axes)


def test_titles_lie_inside_the_figure_and_apart(tmp_path):
    kind = ("fine_tuning", "noisy-start-local-longer", 0.3)
    frame = metrics(kind, "mini_imagenet", seeds=(0, 1), clients=(2, 3, 4), episodes=2)
    figure = draw("A10", frame, tmp_path / "figure", dataset="mini_imagenet")
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert legend_of(figure)[0].get_window_extent().x0 >= 0
    caption = figure._supxlabel.get_window_extent()
    assert 0 <= caption.x0 < caption.x1 <= figure.bbox.x1 and caption.y0 >= 0
    assert caption.y1 <= min(box.y0 for box in boxes)
    fonts = [label.get_fontsize() for axes in figure.axes for label in axes.get_xticklabels()]
    assert min(fonts) >= 8


def test_all_panels_share_their_limits_and_show_0_to_100_percent(tmp_path):
    figure = draw("5", metrics(), tmp_path / "figure")
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes}) == 1
    (left, right), (low, high) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert left < 0
    assert right > 100
    assert -10 < low < 0
    assert 100 < high < 110


def test_ticks_of_iterations_are_legible_for_any_number_of_them(tmp_path):
    for steps, ticks in (
        ((0, 10), [0, 1, 10]),
        ((0, 1, 2, 5, 10, 25, 50, 100, 200, 300, 400, 500), [0, 1, 10, 100, 500]),
        ((0, 20, 200), [0, 1, 10, 200]),
        ((0,), [0]),
    ):
        frame = metrics(cases="a", clients=(2,), steps=steps, episodes=2)
        figure = draw("5", frame, tmp_path / "figure")
        axes = figure.axes[0]
        assert [int(label.get_text()) for label in axes.get_xticklabels()] == ticks == list(axes.get_xticks())
        # Early iterations have their share of the axis: the tenth is not in the margin of five hundred.
        place = axes.transAxes.inverted().transform(axes.transData.transform([[10, 0]]))[0, 0]
        assert place > 0.3


@pytest.mark.parametrize(
    ("name", "frame", "parts"),
    [
        ("3", metrics(ROUNDS, episodes=4), ["Omniglot", "8 episodes of 2 clients", "1 seed;", "over episodes"]),
        ("5", metrics(seeds=(0, 1, 2)), ["Omniglot", "supervised", "15 episodes per client", "3 seeds;", "over seeds"]),
        ("7", metrics(MATCHING, clients=(4,)), ["matching", "δ = 0.3", "5 episodes of client 4", "1 seed"]),
        ("A5", metrics(("matching", "other-episodes", 0.3)), ["another set of evaluation episodes"]),
        (
            "A6",
            metrics(("fine_tuning", "noisy-start", 0.3), episodes=1),
            ["Glorot mix", "1 episode per", "no int"],
        ),
    ],
)
def test_titles_say_what_was_measured_how_often(tmp_path, name, frame, parts):
    figure = draw(name, frame, tmp_path / "figure")
    said = f"{legend_of(figure)[0].get_title().get_text()}\n{figure.get_supxlabel()}"
    assert [part for part in parts if part not in said] == []


def test_what_was_not_evaluated_is_said_so(tmp_path):
    frame = metrics()
    frame = frame[~((frame.case == "b") & (frame.client == 3))]
    figure = draw("5", frame, tmp_path / "figure")
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [[], [], [], ["not evaluated"], [], []]


def test_a_missing_metric_is_left_out_of_panel_and_legend(tmp_path):
    frame = metrics(ROUNDS).query("metric != 'main_task'")
    figure = draw("3", frame, tmp_path / "figure")
    assert "main task" not in legend_of(figure)[1]
    assert "meta-testing" in legend_of(figure)[1]


def test_the_control_of_a_fresh_network_is_drawn_beside_the_papers_delta(tmp_path):
    fresh = metrics(("matching", "fresh-network", 0.0))
    fresh = fresh.assign(value=np.where(fresh.metric == "meta_testing", 0.5 + fresh.value / 4, 0.0))
    frame = pd.concat([metrics(MATCHING), fresh, fresh.assign(defence="matching-0.6", delta=0.6, value=0.1)])
    figure = draw("7", frame, tmp_path / "figure")
    wanted = fresh[(fresh.metric == "meta_testing") & (fresh.model == "attacked")]
    for (case, client), axes in zip(itertools.product("abc", (2, 3)), figure.axes, strict=True):
        own = wanted[(wanted.case == case) & (wanted.client == client)]
        line = lines_of(axes)["meta-testing, fresh network"]
        assert line.get_ydata() == pytest.approx(100 * own.groupby("step").value.mean())
        assert list(line.get_xdata()) == [0, 1, 10, 100]
        assert line.get_linewidth() < lines_of(axes)["meta-testing"].get_linewidth()
        assert_lines_show_means(
            axes, frame[(frame.delta == 0.3) & (frame.case == case) & (frame.client == client)], (0, 1, 10, 100)
        )
    assert legend_of(figure)[1].count("meta-testing, fresh network") == 1
    assert "fresh network: the same defence with δ = 0" in figure.get_supxlabel()
    alone = draw("7", metrics(MATCHING), tmp_path / "figure")
    assert "fresh network" not in alone.get_supxlabel()
