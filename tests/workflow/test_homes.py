"""Which scenario keeps a result that several share, and that it stays there."""

from collections.abc import Callable

import pytest
import yaml
from helpers.project import ROOT

from fedmeta.settings import with_table
from workflow.lib.homes import Homes, read_homes, write_homes
from workflow.lib.jobs import Jobs, Place
from workflow.lib.stages import ADAPTED, MODELS, STAGES


@pytest.fixture
def homes() -> Callable[..., Homes]:
    config = with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))

    def of(scenarios: dict, recorded: dict | None = None) -> Homes:
        return Homes(Jobs({**config, "scenarios": scenarios}), recorded or {})

    return of


def kept_by(homes: Homes, scenario: str, defence: str = "") -> dict[str, str]:
    """Return the scenario that keeps the results of each stage for one."""
    place = Place(scenario, "glyphs", defence or "matching", "attacked")
    return {stage: homes.home(stage, place).scenario for stage in STAGES if stage != "repair"}


def test_what_two_scenarios_share_is_kept_by_the_first(homes):
    shared = homes({"plain": {}, "strong": {"attack": {"boost": 5}}})
    assert set(kept_by(shared, "plain").values()) == {"plain"}
    own = {"attack", "meta_train_after", "evaluate", *ADAPTED}
    assert kept_by(shared, "strong") == {s: "strong" if s in own else "plain" for s in STAGES if s != "repair"}


def test_an_option_of_a_defence_concerns_that_defence_alone(homes):
    shared = homes({"plain": {}, "bare": {"defences": {"matching": {"warm_up": 5}}}})
    assert {stage: home for stage, home in kept_by(shared, "bare").items() if home == "bare"} == dict.fromkeys(
        ADAPTED, "bare"
    )
    assert set(kept_by(shared, "bare", "fine_tuning").values()) == {"plain"}
    # Entries that are like it follow; one that is equal to another entry is that entry's.
    assert kept_by(shared, "bare", "fresh-network")["adapt"] == "bare"
    assert shared.home("adapt", Place("bare", "glyphs", "matching", "attacked")).defence == "matching"


def test_equal_entries_of_one_scenario_are_evaluated_once(homes):
    shared = homes({"plain": {"defences": {"another": {"like": "matching"}}}})
    for model in MODELS:
        matching = Place("plain", "glyphs", "matching", model)
        assert shared.home("adapt", matching._replace(defence="another")) == matching


def test_the_clean_model_is_evaluated_once_for_all_attacks_on_it(homes):
    several = {"plain": {}, "strong": {"attack": {"boost": 5}}, "again": {"attack": {"rounds": [1, 2]}}}
    shared = homes({**several, "others": {"federation": {"users": 5}}})
    for stage, defence in (("adapt", "matching"), ("repair", "matching-local"), ("adapt", "matching-local")):
        places = [Place(scenario, "glyphs", defence, "pretrained") for scenario in several]
        assert {shared.home(stage, place).scenario for place in places} == {"plain"}
        attacked = [place._replace(model="attacked") for place in places]
        assert [shared.home(stage, place).scenario for place in attacked] == list(several)
        assert shared.home(stage, places[0]._replace(scenario="others")).scenario == "others"


def test_a_repair_is_shared_by_defences(homes):
    shared = homes({})
    places = [Place("default", "glyphs", name, "attacked") for name in ("noisy-start-local", "matching-local")]
    assert len({shared.home("repair", place) for place in places}) == 1
    assert len({shared.home("adapt", place) for place in places}) == 2


def test_who_keeps_a_result_goes_on_keeping_it(homes):
    record = homes({"plain": {}}).record()
    # A scenario that is new in the config, though first in it, takes what is there.
    assert set(kept_by(homes({"new": {}, "plain": {}}, record), "new").values()) == {"plain"}
    # So does one that is left when the other has gone from the config.
    alone = homes({"new": {}}, record)
    assert set(kept_by(alone, "new").values()) == {"plain"}
    assert alone.asker("attack", Place("plain", "glyphs")) == Place("new", "glyphs")
    assert "plain" in alone.scenarios()
    # And it stays so in the next record.
    assert set(kept_by(homes({"new": {}}, alone.record()), "new").values()) == {"plain"}


def test_an_edited_scenario_keeps_nothing_for_others(homes):
    record = homes({"plain": {}, "same": {}}).record()
    edited = homes({"plain": {"attack": {"boost": 5}}, "same": {}}, record)
    assert kept_by(edited, "same")["attack"] == "same"
    assert kept_by(edited, "same")["pretrain"] == "plain"
    assert kept_by(edited, "plain")["attack"] == "plain"


def test_no_home_is_a_key_error(homes):
    with pytest.raises(KeyError, match="no scenario"):
        homes({}).asker("attack", Place("nosuch", "glyphs"))


def test_a_record_is_read_as_it_was_written(homes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_homes() == {}
    record = homes({"plain": {}}).record()
    write_homes(record)
    assert read_homes() == {}  # there is no result yet, so nobody keeps any
    for folder in ("results/plain/glyphs", "data/prepared/plain/glyphs"):
        (tmp_path / folder).mkdir(parents=True)
    assert read_homes() == record
    (tmp_path / "results/.homes.json").write_text("[1")
    assert read_homes() == {}
