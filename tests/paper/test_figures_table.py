"""What the figures ask for, and what the variants of the defence change."""

import pytest
import yaml
from fedmeta.reporting.contents import (
    ABLATIONS,
    FIGURES,
    Content,
    cases_of,
    changes,
    contents_of,
    control_of,
    with_norms,
)
from helpers.project import ROOT

from fedmeta.reporting import results

FULL = Content("matching", "matching", 0.3)


@pytest.fixture
def settings():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def test_every_figure_of_the_paper_is_in_the_table():
    assert list(FIGURES) == [*"345678", *(f"A{number}" for number in range(1, 12))]
    for name, content in FIGURES.items():
        assert content.experiment in results.ALLOWED["experiment"], name
        assert (content.delta is None) == (content.defence == "")
    captions = {"7": 0.3, "8": 0.3, "A1": 0.6, "A2": 0.6, "A3": 0.4, "A4": 0.2, "A5": 0.3, "A6": 0.3, "A7": 0.3}
    captions |= dict.fromkeys(("A8", "A9", "A10", "A11"), 0.3)
    assert {name: FIGURES[name].delta for name in captions} == captions


@pytest.mark.parametrize(
    ("overlay", "names"),
    [
        ("paper.yaml", [*FIGURES, "order", "ablation", "delta"]),
        ("omniglot.yaml", ["3", "5", "7", *(f"A{number}" for number in range(1, 7)), "order", "ablation", "delta"]),
    ],
)
def test_a_published_run_has_the_figures_by_the_papers_names(overlay, names):
    figures = yaml.safe_load((ROOT / "config" / overlay).read_text())["figures"]
    assert list(map(str, figures)) == names


def test_the_figure_over_delta_looks_closely_where_the_attack_returns_and_has_what_its_window_is_told_by(settings):
    deltas = settings["figure_delta"]["deltas"]
    assert deltas == sorted(deltas)
    assert {0.3, 0.35, 0.4, 0.45, 0.5, 1.0} <= set(deltas)


def test_figures_after_local_meta_training_take_its_length_from_the_config(settings):
    settings["local_meta_training"]["episodes"] = [15, 40]
    shown = {name: contents_of(name, settings) for name in ("A8", "A9", "A10", "A11")}
    fresh = Content("matching", "matching", 0.0)
    assert shown == {
        "A8": [Content("fine_tuning", "glorot_mix_local_15", 0.3)],
        "A9": [Content("matching", "matching_local_15", 0.3), fresh],
        "A10": [Content("fine_tuning", "glorot_mix_local_40", 0.3)],
        "A11": [Content("matching", "matching_local_40", 0.3), fresh],
    }


@pytest.mark.parametrize("own", ["last", "random"])
def test_the_figure_of_orders_shows_both_whichever_the_config_names(settings, own):
    settings["evaluation"]["target_output"] = own
    contents = contents_of("order", settings)
    outputs = []
    for content in contents:
        changed = changes(content.defence, settings).get("evaluation", {})
        outputs.append({**settings["evaluation"], **changed}["target_output"])
    assert outputs == ["last", "random"]
    assert Content("fine_tuning") in contents  # the table of figure 5 serves for one of them


def test_the_papers_defence_has_a_fresh_network_as_its_control(settings):
    for figure in ("7", "8"):
        assert contents_of(figure, settings) == [FULL, FULL._replace(delta=0.0)]
    assert control_of(FIGURES["A5"]) == Content("matching", "matching_other_episodes", 0.0)
    for figure in ("3", "5", "A1", "A3", "A4", "A6"):
        assert contents_of(figure, settings) == [FIGURES[figure]]


def test_the_ablation_leaves_out_one_part_at_a_time(settings):
    contents = contents_of("ablation", settings)
    assert contents[0] == FULL
    assert len(contents) == len(set(contents)) == 5  # those before fine-tuning are evaluated already
    changed = [changes(content.defence, settings) for content in contents]
    assert changed == [
        {},
        {"matching": {"gates": False}},
        {"matching": {"scales": False, "scale": 1.0}},
        {"matching": {"warm_up": 0}},
        {},
    ]
    assert [content.delta for content in contents] == [0.3, 0.3, 0.3, 0.3, 1.0]
    assert [ablation.content for ablation in ABLATIONS if not ablation.trained] == [FULL, FULL._replace(delta=1.0)]


@pytest.mark.parametrize("norms", ["shared", "fresh"])
def test_the_figure_over_delta_has_both_kinds_of_mix_whichever_the_config_has(settings, norms):
    settings["figure_delta"]["deltas"] = [0.2, 0.3]
    settings["glorot_mix"]["norms"] = norms
    contents = contents_of("delta", settings)
    mixed = [changes(c.defence, settings).get("glorot_mix", settings["glorot_mix"])["norms"] for c in contents]
    assert list(zip(mixed, [c.delta for c in contents], strict=True)) == [
        *(("shared", 0.2), ("shared", 0.3)),
        *(("fresh", 0.2), ("fresh", 0.3)),
    ]
    assert with_norms(norms, settings) == "matching"
    assert FULL in contents  # shared with figure 7


def test_another_set_of_episodes_changes_the_episode_seed_alone(settings):
    settings["evaluation"]["other_episode_seed"] = 17
    assert changes("matching_other_episodes", settings) == {"evaluation": {"episode_seed": 17}}


def test_figures_show_the_evaluated_cases_and_those_of_their_own(settings):
    settings["figure_delta"]["cases"] = ["a", "b"]
    assert cases_of("7", settings) == ["a", "b", "c"]
    assert cases_of("delta", settings) == ["a", "b"]
    settings["evaluation"]["cases"] = ["b"]
    assert cases_of("delta", settings) == cases_of("7", settings) == ["b"]
