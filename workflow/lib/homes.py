"""Which scenario keeps a result that several share: a stage with equal settings, and equal stages before it, runs once.

The first scenario of the config keeps it (in it, the first defence), or the one that has kept it so far, even if that
is no longer in the config.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from fedmeta.files import atomic_path
from fedmeta.made import key_of
from workflow.lib.jobs import Jobs, Place
from workflow.lib.stages import ADAPTED, CLIENTS_OWN, MODELS, STAGES, before

RECORD = Path("results/.homes.json")


class Homes:
    """The homes of all results that a config asks for."""

    def __init__(self, jobs: Jobs, recorded: Mapping[tuple[str, Place], str]):
        """`recorded`: the key of what each (stage, place) has kept so far, see `read_homes`."""
        self.jobs, self.recorded = jobs, dict(recorded)
        self._former: dict[str, list[Place]] = {}
        for (_, place), key in self.recorded.items():
            self._former.setdefault(key, []).append(place)
        self._keys: dict[tuple[str, Place], str] = {}
        self._homes: dict[tuple[str, str], dict[str, Place]] = {}
        self._known_places: dict[tuple[str, str], dict[Place, None]] = {}

    def key(self, stage: str, place: Place) -> str:
        """Return what identifies a stage's results: its settings, its methods and those of the stages before it."""
        if (stage, place) not in self._keys:
            made_of = [self.key(each, self._bare(each, place)) for each in before(stage, place.model)]
            if stage in ADAPTED and self.jobs.repaired(place):
                made_of.append(self.key("repair", place))
            params = self.jobs.params(stage, place)
            self._keys[stage, place] = key_of({"stage": stage, "dataset": place.dataset, **params}, made_of)
        return self._keys[stage, place]

    def home(self, stage: str, place: Place) -> Place:
        """Return the place that keeps the results of a stage for `place`."""
        place = self._bare(stage, place)
        return self._of_stage(stage, place.dataset)[self.key(stage, place)]

    def asker(self, stage: str, place: Place) -> Place:
        """Return a place in the config whose settings the results at `place` have: itself, or one that it is home to.

        Raises KeyError if `place` is not in the config and home to nothing.
        """
        place = self._bare(stage, place)
        if self._in_config(stage, place):
            return place
        for asker in self._places(stage, place.dataset):
            if self.home(stage, asker) == place:
                return asker
        raise KeyError(f"no scenario of the config has its results of {stage} in {place.scenario}")

    def scenarios(self) -> list[str]:
        """Return the scenarios that have or will have results: those of the config and former ones."""
        return list(dict.fromkeys((*self.jobs.scenarios, *(place.scenario for _, place in self.recorded))))

    def defences(self) -> list[str]:
        """Return the names of all entries of the tables of defences, including former ones."""
        named = [place.defence for stage in CLIENTS_OWN for place in self._all(stage)]
        return list(dict.fromkeys((*named, *(place.defence for _, place in self.recorded if place.defence))))

    def record(self) -> dict[tuple[str, Place], str]:
        """Return what each place keeps from now on; those that are no longer in the config keep what they had."""
        kept = {(s, place): key for (s, place), key in self.recorded.items() if not self._in_config(s, place)}
        for stage in STAGES:
            for dataset in self.jobs.readers:
                kept |= {(stage, home): key for key, home in self._of_stage(stage, dataset).items()}
        return kept

    def _all(self, stage: str) -> list[Place]:
        return [place for dataset in self.jobs.readers for place in self._places(stage, dataset)]

    def _of_stage(self, stage: str, dataset: str) -> dict[str, Place]:
        """Return the home of each of the results of a stage, by key."""
        if (stage, dataset) not in self._homes:
            homes: dict[str, Place] = {}
            for place in self._places(stage, dataset):
                key = self.key(stage, place)
                if key not in homes:
                    homes[key] = self._holder(stage, key) or place
            self._homes[stage, dataset] = homes
        return self._homes[stage, dataset]

    def _holder(self, stage: str, key: str) -> Place | None:
        """Return the place that has kept a result so far, unless it must keep another one now."""
        for place in self._former.get(key, ()):
            if not self._in_config(stage, place) or self.key(stage, place) == key:
                return place
        return None

    def _places(self, stage: str, dataset: str) -> dict[Place, None]:
        """Return the places of a stage's results in the config, in its order."""
        if (stage, dataset) not in self._known_places:
            self._known_places[stage, dataset] = dict.fromkeys(self._list_places(stage, dataset))
        return self._known_places[stage, dataset]

    def _list_places(self, stage: str, dataset: str) -> list[Place]:
        places = [Place(scenario, dataset) for scenario in self.jobs.scenarios]
        if stage not in CLIENTS_OWN:
            return places
        of_defences = [
            place._replace(defence=name, model=model)
            for place in places
            for name in self.jobs.own(place.scenario, dataset).defences
            for model in MODELS
        ]
        return [place for place in of_defences if stage in ADAPTED or self.jobs.repaired(place)]

    def _in_config(self, stage: str, place: Place) -> bool:
        return place.dataset in self.jobs.readers and place in self._places(stage, place.dataset)

    @staticmethod
    def _bare(stage: str, place: Place) -> Place:
        """Return a place as a stage uses it: most have no defence."""
        return place if stage in CLIENTS_OWN else Place(place.scenario, place.dataset)


def read_homes() -> dict[tuple[str, Place], str]:
    """Return what was written with `write_homes`, without places whose folder has been removed."""
    try:
        lines = json.loads(RECORD.read_text())
        record = {(stage, Place(*place)): str(key) for stage, *place, key in lines}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    folders = {
        (stage, place): STAGES[stage].folder.partition("/seed-")[0] for stage, place in record if stage in STAGES
    }
    return {
        each: key
        for each, key in record.items()
        if each in folders and Path(folders[each].format(**each[1]._asdict())).exists()
    }


def write_homes(record: Mapping[tuple[str, Place], str]) -> None:
    """Write which place keeps what."""
    with atomic_path(RECORD) as temporary:
        temporary.write_text(json.dumps([[stage, *place, key] for (stage, place), key in record.items()], indent=0))
