"""Settings laid over one another: methods that change, entries that are like others, grids, scenarios."""

import pytest
import yaml
from helpers.project import ROOT

from fedmeta.errors import FedmetaError
from fedmeta.settings import check, for_dataset, lay, scenarios_of, with_table
from fedmeta.settings.layers import expanded


@pytest.fixture
def config() -> dict:
    return with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))


def test_the_config_lies_over_the_table_of_the_paper(config):
    assert config["defences"]["matching"]["delta"] == 0.3
    assert config["defences"]["fresh-network"] == {"like": "matching", "delta": 0}
    assert config["figure_table"]["7"]["defences"] == ["matching"]
    changed = with_table({"figure_table": {"7": {"cases": ["a"]}}, "defences": {"fresh-network": {"delta": 0.1}}})
    assert changed["figure_table"]["7"] == {**config["figure_table"]["7"], "cases": ["a"]}
    assert changed["defences"]["fresh-network"] == {"like": "matching", "delta": 0.1}


def test_options_that_another_method_does_not_have_are_dropped(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from fedmeta.settings.fields import Factor, MethodOptions\n"
        "class Options(MethodOptions):\n    boost: Factor = 1\n    strength: Factor = 2\n"
    )
    below = {"attack": {"method": "one_shot", "boost": 3, "meta_steps": 40}}
    assert lay(below, {"attack": {"method": str(mine), "strength": 5}}) == {
        "attack": {"method": str(mine), "boost": 3, "strength": 5}
    }
    assert lay(below, {"attack": {"method": "one_shot", "boost": 4}})["attack"]["meta_steps"] == 40
    assert below["attack"]["boost"] == 3


def test_an_entry_takes_all_else_from_the_one_that_it_is_like():
    table = {
        "c": {"like": "b", "delta": 1},
        "a": {"method": "matching", "delta": 0.3, "gates": True, "repair": {"method": "local_meta_training"}},
        "b": {"like": "a", "gates": False, "repair": {"episodes": 5}},
    }
    repair = {"method": "local_meta_training", "episodes": 5}
    assert expanded(table) == {
        "c": {"method": "matching", "delta": 1, "gates": False, "repair": repair},
        "a": table["a"],
        "b": {"method": "matching", "delta": 0.3, "gates": False, "repair": repair},
    }


def test_a_grid_of_a_defence_is_an_entry_for_each_combination():
    table = {
        "matching": {"method": "matching", "delta": 0.3},
        "sweep": {"like": "matching", "grid": {"norms": ["shared", "fresh"], "delta": [0, 0.5]}},
    }
    written = expanded(table)
    assert list(written) == [
        "matching",
        *(f"sweep,norms={norms},delta={delta}" for norms in ("shared", "fresh") for delta in (0, 0.5)),
    ]
    assert written["sweep,norms=fresh,delta=0.5"] == {"method": "matching", "delta": 0.5, "norms": "fresh"}


def test_the_only_scenario_is_called_default(config):
    assert scenarios_of(config) == {"default": {}}


def test_a_grid_is_a_scenario_for_each_combination(config):
    config["grid"] = {"attack.boost": [1, 2.5], "pretrain.outer_learning_rate": [[1.0, 0.1]]}
    assert scenarios_of(config) == {
        f"boost={boost},outer_learning_rate=1.0+0.1": {
            "attack": {"boost": boost},
            "pretrain": {"outer_learning_rate": [1.0, 0.1]},
        }
        for boost in (1, 2.5)
    }
    config["scenarios"] = {"plain": None, "fresh": {"attack": {"meta_steps": 1}}}
    config["grid"] = {"attack.boost": [1, 2]}
    assert list(scenarios_of(config)) == ["plain,boost=1", "plain,boost=2", "fresh,boost=1", "fresh,boost=2"]
    assert scenarios_of(config)["fresh,boost=2"] == {"attack": {"meta_steps": 1, "boost": 2}}


def test_a_scenario_lies_over_the_overrides_of_a_data_set(config):
    config["overrides"] = {"glyphs": {"attack": {"boost": 5, "meta_steps": 7}}}
    config["scenarios"] = {"plain": {}, "weak": {"attack": {"boost": 1}}}
    boosts = {
        (name, dataset): (own.attack.boost, own.attack.meta_steps)
        for name in ("plain", "weak")
        for dataset in ("glyphs", "omniglot")
        for own in [for_dataset(config, dataset, name)]
    }
    assert boosts == {
        ("plain", "glyphs"): (5, 7),
        ("plain", "omniglot"): (3, 40),
        ("weak", "glyphs"): (1, 7),
        ("weak", "omniglot"): (1, 40),
    }


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"scenarios": {"s": {"attac": {}}}}, "unknown key 'attac' in scenarios.s; did you mean 'attack'?"),
        ({"scenarios": {"s": {"attack": {"bost": 1}}}}, "unknown key 'bost' in scenarios.s.attack"),
        ({"scenarios": {"s": 5}}, "scenarios.s: must be a section, not 5"),
        ({"scenarios": {"a/b": {}}}, "scenarios.a/b: a name may contain only letters"),
        ({"scenarios": {"s": {"attack": {"boost": -1}}}}, "scenarios.s.attack.boost: must be a number above 0"),
        (
            {"scenarios": {"s": {"federation": {"selected": 9}}}},
            "federation.selected: 9 users a round, but only 3 are benign: lower it (with scenarios.s)",
        ),
        ({"grid": {"boost": [1]}}, "grid.boost: must be a key in a section, such as attack.boost"),
        ({"grid": {"attack.boost": 5}}, "grid.attack.boost: must be a list of values, not 5"),
        ({"grid": {"attack.bost": [1]}}, "unknown key 'bost' in grid.attack"),
        ({"grid": {"split.target": ["a b"]}}, "grid.split.target: 'a b' cannot be part of a name"),
        ({"defences": {"x": {"like": "matchin"}}}, "defences.x.like: there is no defence 'matchin'; did you mean"),
        ({"defences": {"x": {"like": "x"}}}, "defences.x.like: it is like itself"),
        (
            {"defences": {"x": {"like": "matching", "delt": 1}}},
            "unknown key 'delt' in defences.x; did you mean 'delta'",
        ),
        ({"defences": {"x": {"like": "matching", "grid": {"delta": 1}}}}, "defences.x.grid: must be lists of values"),
        ({"defences": {"x": {"method": "matchin"}}}, "defences.x.method: there is no defence called 'matchin'"),
        (
            {"defences": {"x": {"like": "matching", "repair": {"method": "matching"}}}},
            "defences.x.repair.method: matching has no repair",
        ),
        (
            {"defences": {"x": {"like": "matching", "iterations": [0]}}},
            "defences.x.iterations: the highest is the length of fine-tuning: add one above 0",
        ),
        ({"figures": ["m"], "figure_table": {"m": {"kind": "bars"}}}, "figure_table.m.kind: there is no figure called"),
        (
            {"figures": ["m"], "figure_table": {"m": {"kind": "over_iterations", "defences": ["matchin"]}}},
            "figure_table.m.defences: there is no defence 'matchin'; did you mean 'matching'?",
        ),
        ({"figures": [9]}, "figures: there is no figure '9'"),
        ({"datasets": ["omniglo"]}, "datasets: there is no reader called 'omniglo'; did you mean 'omniglot'?"),
        ({"datasets": ["./nosuch.py"]}, "datasets: there is no file ./nosuch.py"),
        ({"attack": {"method": "./nosuch.py"}}, "attack.method: there is no file ./nosuch.py"),
    ],
)
def test_what_is_wrong_is_one_line(config, change, line):
    with pytest.raises(FedmetaError) as error:
        check(lay(config, change))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_the_configs_own_defences_come_first(config):
    assert list(config["defences"])[:3] == ["fine_tuning", "matching", "fresh-network"]
    assert list(with_table({"defences": {"mine": {"like": "no-gates"}}})["defences"])[:2] == ["mine", "fresh-network"]
