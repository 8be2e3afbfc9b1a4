"""The figure "paper against ours": that every number can be read, and that marks are where the numbers say."""

import xml.etree.ElementTree

import numpy as np
import pytest
from helpers.hand_made_metrics import (
    ALL,
    NOISY,
    ROUNDS,
    SUPERVISED,
    attack,
    benchmarks,
    matching,
    measured,
    settings,
    setup_of,
    table_of,
)
from matplotlib.colors import to_rgb
from PIL import Image

from fedmeta.paper.against_ours_figure import COLOURS, WIDE_MARK, draw_comparison
from fedmeta.paper.scale import scale
from fedmeta.paper.verdicts import tolerance


@pytest.fixture(scope="module")
def table():
    """Omniglot with most rows answered, some of each verdict; mini-ImageNet with the first round alone."""
    accuracies = {"main_task": [0.9, 0.99], "meta_testing": [0.97, 0.99], **attack([0.6, 0.9])}
    frames = [measured(ROUNDS, step, accuracies) for step in (0, 1, 50)]
    frames[1] = measured(ROUNDS, 1, {**accuracies, "attack_training": [0.779, 0.781], "meta_testing": 0.99})
    frames += [measured(SUPERVISED, 0, attack(0.9)), measured(SUPERVISED, 500, accuracies)]
    frames += [measured(matching(delta), 50, {**ALL, **attack(0.2)}) for delta in (0.2, 0.3, 0.4)]
    frames += [
        measured(NOISY, 500, {**ALL, **attack(0.9)}),
        measured(ROUNDS, 1, ALL, dataset="mini_imagenet", cases="a"),
    ]
    return table_of(*frames, times=benchmarks(pretrain__excluded=3000.0, attack__included=400.0))


def draw(table, tmp_path):
    figure = draw_comparison(table.reset_index(), tmp_path / "figure")
    figure.draw_without_rendering()
    return figure


@pytest.fixture(scope="module")
def figure(table, tmp_path_factory):
    """The figure of the table above: to be read, not changed."""
    return draw(table, tmp_path_factory.mktemp("figure"))


def words_of(figure):
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text for text in texts if text.get_text()]


def test_every_number_has_a_line_with_what_the_paper_states_and_its_verdict(table, figure):
    words = [text.get_text() for text in words_of(figure)]
    for relation, sign in (("~", "≈"), (">=", "≥"), ("<", "<")):
        stated = table[table.relation == relation].paper
        assert sorted(word for word in words if word.startswith(sign)) == sorted(f"{sign} {p:.0f}" for p in stated)
    assert words.count("yes") == (table.relation == "yes").sum()
    for verdict in ("agrees", "same direction", "differs", "unknown"):
        assert words.count(verdict) == (table.verdict == verdict).sum() > 0
    for note in table.note[table.verdict == ""]:
        assert note.replace("in this run", "run") in words
    assert "3a  attack training, right after attack" in words


def test_the_title_tells_the_scale(figure):
    own = scale(setup_of(settings()).settings)
    words = " ".join(text.get_text() for text in words_of(figure))
    for part in (
        "at this run's scale",
        f"This run: {own['pretraining_episodes']:,} pre-training episodes, {own['attack_inner_steps']:,} inner steps",
        "The paper: 100,000 pre-training episodes, 12,500,000 inner steps",
        f"{own['filters']} filters, {own['image_size']} pixels, 2 episodes a line, 1 seed",
        "64 filters, 84 pixels, 40 episodes",
    ):
        assert part in words


def test_marks_lie_where_the_numbers_say(table, figure):
    row = table.loc["O-1a-train"]
    axes = figure.axes[0]
    (label,) = (text for text in axes.texts if text.get_text() == "3a  attack training, right after attack")
    y = label.get_position()[1]
    marks = [line for line in axes.get_lines() if list(line.get_ydata()) == [y] and list(line.get_xdata()) != [0, 1]]
    assert sorted(line.get_xdata()[0] for line in marks) == pytest.approx(sorted([78, row["mean"], row.floor]))
    (interval,) = (line for line in axes.get_lines() if list(line.get_ydata()) == [y, y] and line.get_linewidth() > 1)
    low, high = row["mean"] - row.half_width, row["mean"] + row.half_width
    assert list(interval.get_xdata()) == pytest.approx([max(low, 0), min(high, 100)])
    assert row.verdict == "agrees"
    assert to_rgb(interval.get_color()) == to_rgb(COLOURS["agrees"])
    (band,) = (patch for patch in axes.patches if patch.get_y() < y < patch.get_y() + patch.get_height())
    assert [band.get_x(), band.get_x() + band.get_width()] == pytest.approx([78 - tolerance(78), 78 + tolerance(78)])


def test_the_band_is_where_a_whole_interval_agrees(tmp_path):
    frames = [measured(ROUNDS, step, ALL) for step in (0, 1)] + [measured(SUPERVISED, step, ALL) for step in (50, 500)]
    frames += [measured(matching(delta), 500, ALL) for delta in (0.2, 0.3, 0.4)] + [measured(matching(0.3), 50, ALL)]
    table = table_of(*frames)
    figure = draw(table, tmp_path)
    bands = [patch.get_bbox().intervalx for patch in figure.axes[0].patches]
    drawn = table[table.relation.ne("yes") & table.measured_on.ne("") & table.metric.ne("minutes")]
    names = dict(zip(drawn.index, bands, strict=True))
    lowest = figure.axes[0].get_xlim()[0]
    for name, band in {
        "O-1a-train": [78 - tolerance(78), 78 + tolerance(78)],
        "O-pre": [99, 100],
        "O-2c-drop": [5, 15],
        "O-S1-drop": [lowest, 10],
        "O-A34": [-4.5, -1.5],
        "O-S1-defended": [0, 20],
    }.items():
        assert names[name] == pytest.approx(band), name


def test_the_title_names_the_settings_that_are_not_the_papers(figure, tmp_path):
    words = " ".join(text.get_text() for text in words_of(figure))
    assert "Ours for the paper's: pretrain.outer_learning_rate 1 to 0.1 for 0.1 to 0.1, attack.outer" in words
    config = {"omniglot": settings("paper.yaml")}
    same = table_of(measured(ROUNDS, 1, ALL), config=config)
    assert not any("Ours for" in text.get_text() for text in words_of(draw(same, tmp_path)))


@pytest.mark.parametrize("seconds", [1.0, 3000.0, 100_000.0])
def test_minutes_of_any_size_are_seen(tmp_path, seconds):
    times = benchmarks(pretrain__excluded=seconds)
    table = table_of(measured(ROUNDS, 1, ALL), times=times)
    axes = draw(table, tmp_path).axes[1]
    assert axes.get_xscale() == "log"
    (mark,) = (line for line in axes.get_lines() if line.get_marker() == "o")
    assert list(mark.get_xdata()) == pytest.approx([table.loc["T-pretrain-O", "mean"]])
    assert axes.get_xlim()[0] <= mark.get_xdata()[0] <= axes.get_xlim()[1]


def test_words_lie_inside_the_figure_and_apart(figure):
    boxes = {text: text.get_window_extent() for text in words_of(figure)}
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1, text.get_text()
    corners = np.array([box.extents for box in boxes.values()])
    low = np.maximum(corners[:, None, :2], corners[:, :2])
    high = np.minimum(corners[:, None, 2:], corners[:, 2:])
    shared = np.triu((high - low).min(axis=-1), 1)  # of each pair of texts, in its smaller direction
    texts = [text.get_text() for text in boxes]
    assert [(texts[one], texts[other]) for one, other in np.argwhere(shared >= 2)] == []
    (legend,) = figure.legends
    assert not any(box.overlaps(legend.get_window_extent()) for box in boxes.values())


def test_a_wide_interval_has_a_hollow_mark_and_a_remark_has_an_asterisk(tmp_path):
    config = settings()
    config["defences"]["matching"]["norms"] = "fresh"
    frames = [
        measured(ROUNDS, 1, {"attack_training": [0.6, 0.9], "attack_validation": [0.6, 0.6]}, cases="a"),
        measured(matching(0.3), 40, ALL),
        *(measured(matching(delta), 500, ALL) for delta in (0.2, 0.4)),
    ]
    figure = draw(table_of(*frames, config={"omniglot": config}), tmp_path)
    places = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    marks = {line.get_ydata()[0]: line for line in figure.axes[0].get_lines() if line.get_marker() == "o"}
    hollow = {name: marks[y].get_markerfacecolor() == "white" for name, y in places.items() if y in marks}
    assert hollow["3a  attack training, right after attack"]
    assert not hollow["3a  attack validation, right after attack"]
    # It ended before iteration 50; what is not as in the paper is in the title.
    assert not hollow["7  meta-testing, after 50 iterations *"]
    assert not hollow["A3-A4  main and meta, δ 0.2 against 0.4"]
    assert WIDE_MARK in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "*: see `note`" in figure.legends[0].get_title().get_text()


@pytest.mark.parametrize(("filters", "told"), [(64, False), (32, True)])
def test_the_title_of_run_times_tells_what_they_are_not_scaled_to(tmp_path, filters, told):
    config = settings()
    config["model"]["filters"] = filters
    times = benchmarks(pretrain__excluded=3000.0)
    figure = draw(table_of(measured(ROUNDS, 1, ALL), times=times, config={"omniglot": config}), tmp_path)
    assert any("not to its filters and pixels" in text.get_text() for text in words_of(figure)) == told


def test_a_data_set_that_was_not_run_is_named_in_the_title_alone(tmp_path):
    glyphs = table_of(measured(ROUNDS, 1, ALL, dataset="glyphs"))
    words = [text.get_text() for text in words_of(draw(glyphs, tmp_path))]
    assert words[0].endswith("(mini-ImageNet: not in this run)")
    assert "Glyphs in place of the paper's Omniglot" in words
    assert not any(word.startswith("4a") for word in words)
    other = table_of(measured(ROUNDS, 1, ALL, dataset="image_folder"), config={"image_folder": settings()})
    words = [text.get_text() for text in words_of(draw(other, tmp_path))]
    assert words == [words[0]]
    assert words[0].endswith("(Omniglot, mini-ImageNet: not in this run)")


def test_a_run_without_any_answer_is_drawn_too(tmp_path):
    words = [text.get_text() for text in words_of(draw(table_of(measured(ROUNDS, 7, ALL, cases="a")), tmp_path))]
    assert "not run: needs round 0 of figure 3" in words


def test_files_are_the_same_for_the_same_table(table, tmp_path):
    draw_comparison(table.reset_index(), tmp_path / "one")
    draw_comparison(table.reset_index(), tmp_path / "two")
    for suffix in ("png", "svg"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert image.size[0] == 1920
    assert xml.etree.ElementTree.parse(tmp_path / "one.svg").getroot().tag.endswith("svg")
