"""The table of the paper's defences and figures: what each figure shows, and what its defences are."""

import pytest
import yaml
from helpers.project import ROOT
from helpers.setups import entries, figure_of, settings

from fedmeta import plugins
from fedmeta.settings import lay, with_table

NAMES = [*"345678", *(f"A{number}" for number in range(1, 12))]


def shown(figure, *overlays):
    """Return the entries that a figure of one defence shows, and its control."""
    config = settings()
    for overlay in overlays:
        config = lay(config, overlay)
    options, table = figure_of(figure, config), entries(config)
    (name,) = options.defences
    return table[name], table.get(options.control)


def test_every_figure_of_the_paper_and_of_ours_is_in_the_table():
    table = with_table(settings())["figure_table"]
    assert list(table) == [*NAMES, "order", "ablation", "delta", "glance", "embedding", "by-class", "scenarios"]
    for name in table:
        assert figure_of(name, settings()).kind in plugins.names("figure")


@pytest.mark.parametrize(
    ("overlay", "names"),
    [
        ("paper.yaml", [*NAMES, "order", "ablation", "delta"]),
        ("omniglot.yaml", ["3", "5", "7", "A1", *(f"A{number}" for number in range(3, 7)), "ablation"]),
    ],
)
def test_a_published_run_has_the_figures_by_the_papers_names(overlay, names):
    figures = yaml.safe_load((ROOT / "config" / overlay).read_text())["figures"]
    assert list(map(str, figures)) == names


def test_the_papers_figures_have_the_papers_deltas_and_methods():
    deltas = {"5": None, "6": None, "7": 0.3, "8": 0.3, "A1": 0.6, "A2": 0.6, "A3": 0.4, "A4": 0.2, "A5": 0.3}
    deltas |= dict.fromkeys(("A6", "A7", "A8", "A9", "A10", "A11"), 0.3)
    supervised = ("5", "6", "A6", "A7", "A8", "A10")
    for figure, delta in deltas.items():
        entry = shown(figure)[0]
        assert entry.get("delta") == delta, figure
        assert entry["method"] == ("fine_tuning" if figure in supervised else "matching"), figure
    for figure in ("3", "4"):
        assert figure_of(figure, settings()).kind == "over_rounds"


def test_local_meta_training_comes_before_four_figures_and_takes_its_length_from_the_config():
    lengths = {figure: shown(figure)[0].get("repair", {}).get("episodes") for figure in NAMES[2:]}
    expected = {"A8": 100, "A9": 100, "A10": 1000, "A11": 1000}
    assert lengths == {figure: expected.get(figure) for figure in NAMES[2:]}
    other = {"defences": {"matching-local-longer": {"repair": {"episodes": 40}}}}
    repair = {"method": "local_meta_training", "outer_learning_rate": 0.1}
    assert shown("A11", other)[0]["repair"] == {**repair, "episodes": 40}


def test_the_papers_delta_has_the_same_defence_on_a_fresh_network_as_its_control():
    for figure in NAMES[2:]:
        entry, control = shown(figure)
        if entry["method"] != "matching" or entry["delta"] != 0.3:
            assert control is None, figure
        else:
            assert control["delta"] == 0, figure
            # Nothing of a locally trained model is left either.
            assert {**control, "delta": 0.3} == {key: value for key, value in entry.items() if key != "repair"}, figure


def test_another_set_of_episodes_is_all_that_figure_a5_changes():
    assert shown("A5")[0] == {**shown("7")[0], "evaluation": {"episode_seed": 2}}


@pytest.mark.parametrize("own", ["last", "random"])
def test_the_figure_of_orders_shows_both_whichever_the_config_names(own):
    config = lay(settings(), {"evaluation": {"target_output": own}})
    table = entries(config)
    outputs = [table[name]["evaluation"]["target_output"] for name in figure_of("order", config).defences]
    assert outputs == ["last", "random"]


def test_the_ablation_leaves_out_one_part_at_a_time():
    options, table = figure_of("ablation", settings()), entries(settings())
    full = table["matching"]
    changed = {
        name: {key: value for key, value in table[name].items() if full[key] != value} for name in options.defences
    }
    assert changed == {
        "matching": {},
        "no-gates": {"gates": False},
        "no-scales": {"scales": False, "scale": 1.0},
        "no-warm-up": {"warm_up": 0},
        "no-mix": {"delta": 1},
    }
    assert list(options.labels) == list(options.defences)
    assert set(options.untrained) <= set(options.defences)
    assert options.cases == ("a",)


def test_the_figure_over_delta_looks_closely_where_the_attack_returns_and_has_what_its_window_is_told_by():
    table = entries(settings())
    points = [entry for name, entry in table.items() if name.startswith("sweep,")]
    for norms in ("shared", "fresh"):
        deltas = [entry["delta"] for entry in points if entry["norms"] == norms]
        assert deltas == sorted(deltas)
        assert {0.0, 0.3, 0.35, 0.4, 0.45, 0.5, 1.0} <= set(deltas)
    assert figure_of("delta", settings()).defences == ("sweep",)
