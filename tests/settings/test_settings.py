"""What is wrong with a config is one line that names the key, what it may be, and what was given."""

import copy
import datetime
import functools
import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from helpers.project import ROOT

from fedmeta.attacks.poisoned import AttackEpisodes
from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.data.episodes import EpisodeShape
from fedmeta.data.trigger import stamp
from fedmeta.errors import FedmetaError
from fedmeta.settings import check, lay, with_table
from fedmeta.settings.sections import Trigger

# Each line with a change of config.yaml is followed by one with the beginning of what is said of it.
LINES = [
    line for line in (ROOT / "tests/settings/wrong_settings.txt").read_text().splitlines() if line and line[0] != "#"
]
WRONG = dict(zip(LINES[::2], map(str.strip, LINES[1::2]), strict=True))
JUNK = (
    None,
    "x",
    "two\nlines",
    True,
    -1,
    5,
    1.5,
    math.nan,
    math.inf,
    [],
    {},
    [["glyphs"]],
    [None],
    {1: 2},
    10**30,
    10**5000,
)


@functools.cache
def default_config() -> dict:
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(*changes: dict) -> dict:
    """Return config.yaml with the changes laid over it, and the paper's table below, as a call of Snakemake does."""
    config = with_table(default_config())
    for change in changes:
        config = lay(config, change)
    return copy.deepcopy(config)


def complaint(config: dict) -> str:
    """Return the line about what is wrong, or nothing."""
    try:
        check(config)
    except FedmetaError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("change", WRONG)
def test_what_is_wrong_is_one_line_that_names_the_key(change):
    line = complaint(changed(yaml.safe_load(change)))
    assert line.startswith(WRONG[change]), line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        "seeds: [0, 9223372036854775807]",
        "federation: {weight: [0.1, 0.2, 0.3, 1]}",
        "attack: {boost: 2.5}",
        "attack: {inner_epochs: 0.2}",
        "data: {trigger: {colour: [7]}}",
        "data: {trigger: {position: [23, 23], size: 5}}",
        "{datasets: [mini_imagenet], data: {trigger: {colour: [255, 0, 255]}}}",
        "figures: [3, order]",
        "figures: [3]\nevaluation: {cases: [b]}",  # the cases of figure delta are of no account
        "evaluation: {episode_seed: 2}",  # figure A5 with its other episodes is not drawn
        "defences: {matching: {iterations: [5]}}",  # nor is the ablation
        "grid: {evaluation.episode_seed: [1, 2, 3]}",
        "defences: {mine: {method: fine_tuning, evaluation: {shot: 3}}}",
        "reptile: {way: 5, shot: 2}\nattack: {backdoor_to_target: [1, 1], inner_epochs: 1}",
        "{reptile: {way: 2, shot: 2, inner_batch: 10}, attack: {inner_epochs: 1}}",  # a batch of several passes
        # Not asked for: its keys are checked, what they are together is not.
        "overrides: {omniglot: {meta_train_after: {rounds: 5}}}",
        "{evaluation: {clients: [9]}, overrides: {glyphs: {evaluation: {clients: [3]}}}}",
    ],
)
def test_what_is_right_passes(change):
    assert complaint(changed(yaml.safe_load(change))) == ""


def places(config: dict, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("path", [*places(default_config())], ids=".".join)
def test_no_value_of_any_key_ends_in_a_traceback(path):
    """Each is accepted, or refused in one line; so is the key's absence, and the same in overrides."""
    refused = 0
    for value in JUNK:
        config = changed()
        *sections, key = path
        functools.reduce(dict.__getitem__, sections, config)[key] = value
        line = complaint(config)
        assert len(line) < 400 and len(line.splitlines()) <= 1, line
        refused += bool(line)
        own = functools.reduce(lambda inner, section: {section: inner}, reversed(path), value)
        complaint(changed({"overrides": {"glyphs": own, "omniglot": own}}))
    assert refused >= 8
    config = changed()
    del functools.reduce(dict.__getitem__, sections, config)[key]
    assert complaint(config).startswith(said_of_absence(*path))


def said_of_absence(*path: str) -> str:
    """Return how the line about a missing key begins; options of methods have defaults."""
    match path:
        case (
            ("attack" | "defences", *_, "method")
            | ("federation", "aggregation", "method")
            | ("reptile", "learner", "method")
        ):
            return f"config: {'.'.join(path)}: it is missing"
        case "defences", name:
            return "config: defences." if name in default_config()["defences"] else ""
        case ("attack", _) | ("defences", _, _):
            return ""
    return f"config: {'.'.join(path)}: it is missing; copy it from config.yaml"


ODD_KEYS = (None, True, 1.5, math.nan, "", "two\nlines", ("a", "b"), datetime.date(2022, 5, 13))


@pytest.mark.parametrize("key", ODD_KEYS, ids=repr)
@pytest.mark.parametrize("section", ["", "data", "overrides.glyphs", "overrides.glyphs.data"])
def test_a_key_that_is_no_word_is_unknown_whatever_it_is(section, key):
    change = {key: 1}
    for name in reversed(section.split(".") if section else []):
        change = {name: change}
    line = complaint(changed(change))
    assert line.startswith("config: unknown key '") and f" in {section or 'the config'}; did you mean '" in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("key", ODD_KEYS, ids=repr)
@pytest.mark.parametrize("table", ["defences", "figure_table", "overrides", "scenarios", "grid"])
def test_a_name_that_is_no_word_is_refused_in_one_line(table, key):
    line = complaint(changed({table: {key: 1}}))
    assert line.startswith(f"config: {table}.")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("change", ["backdoor: ['a\n\nb', 'a\n\nb']", "{target: 'a\n\nb', backdoor: ['a\n\nb']}"])
def test_a_name_with_line_breaks_is_named_in_one_line(change):
    line = complaint(changed({"split": yaml.safe_load(change)}))
    assert "a b" in line and len(line.splitlines()) == 1


def test_a_key_that_is_said_to_fit_is_one_that_can_be_stamped_and_the_other_way_round():
    random = np.random.default_rng(1)
    images, verdicts = np.zeros((1, 28, 28, 1), np.uint8), []
    for _ in range(200):
        named = ["top-left", "top-right", "bottom-left", "bottom-right", "centre", random.integers(0, 30, 2).tolist()]
        trigger = default_config()["data"]["trigger"] | {
            "size": int(random.integers(1, 31)),
            "position": named[random.integers(6)],
            "margin": int(random.integers(0, 20)),
        }
        line = complaint(changed({"data": {"trigger": trigger}}))
        assert line == "" or line.startswith("config: data.trigger: ")
        try:
            stamp(images, Trigger(**trigger))
            verdicts.append(True)
        except FedmetaError:
            verdicts.append(False)
        assert verdicts[-1] == (line == ""), trigger
    assert 20 < sum(verdicts) < 180


def test_a_mix_is_refused_where_the_attackers_episodes_would_have_no_keyed_or_no_clean_image():
    bank = ImageBank(np.zeros((9, 16, 16, 1), np.uint8), [ImageClass("a", 0, 0, 0, 9)])
    rows, keyed = np.arange(5), SimpleNamespace(images=bank.images)
    for shot in (2, 3, 10):
        for ratio in [(1, 1), (1, 2), (2, 3), (1, 4), (1, 30), (19, 1), (9, 1), (10_000, 1)]:
            shape = EpisodeShape(5, shot, 1, 1)
            kept = AttackEpisodes(bank, [rows] * 4, rows, keyed, ratio, "last", shape, 1, "attack").backdoor_shot
            line = complaint(changed({"reptile": {"shot": shot}, "attack": {"backdoor_to_target": list(ratio)}}))
            assert ("attack.backdoor_to_target" in line) == (kept in (0, shot)), (shot, ratio)
