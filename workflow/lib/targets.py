"""What there is to make: the figures that the config asks for, and the tables and models that each needs."""

from typing import Any, NamedTuple

from snakemake.io import expand

from fedmeta import plugins
from workflow.lib.homes import Homes
from workflow.lib.jobs import Jobs, Place
from workflow.lib.stages import path_of

SCOPES = {"excluded": "a", "included": "bc"}
FIGURES = "results/figures"


class Table(NamedTuple):
    """A table of metrics, and the scenario and the entry of the defences for which it stands in a figure."""

    scenario: str
    defence: str
    path: str


class Targets:
    """The files that a config asks for."""

    def __init__(self, jobs: Jobs, homes: Homes):
        self.jobs, self.homes = jobs, homes
        self.figures_by_name = [str(figure) for figure in jobs.config["figures"]]

    def entry(self, scenario: str, dataset: str, figure: str) -> Any:
        """Return an entry of the table of figures."""
        return self.jobs.own(scenario, dataset).figure_table[figure]

    def kind_has(self, scenario: str, dataset: str, figure: str, what: str) -> bool:
        """Tell whether the kind of a figure says of itself ROUNDS, MODELS or ACROSS."""
        return bool(plugins.constant("figure", self.entry(scenario, dataset, figure).kind, what, False))

    def scopes(self, scenario: str, dataset: str, figure: str) -> list[str]:
        """Return the scopes of the models that a figure shows."""
        shown = self.entry(scenario, dataset, figure).cases or self.jobs.own(scenario, dataset).evaluation.cases
        return [scope for scope, cases in SCOPES.items() if set(cases) & set(shown)]

    def defences(self, scenario: str, dataset: str, figure: str) -> list[str]:
        """Return the entries of the defences that a figure shows: a name stands for all entries of its grid, too."""
        entry, table = self.entry(scenario, dataset, figure), self.jobs.own(scenario, dataset).defences
        asked = [*entry.defences, *filter(None, [entry.control])]
        return [name for each in asked for name in table if name == each or name.startswith(f"{each},")]

    def tables(self, scenario: str, dataset: str, figure: str) -> list[Table]:
        """Return the tables of metrics that a figure is drawn from: of its scenario, or of all that it compares."""
        if self.kind_has(scenario, dataset, figure, "ACROSS"):
            each = [name for name in self.jobs.scenarios if figure in self.jobs.own(name, dataset).figure_table]
        else:
            each = [scenario]
        return [table for name in each for table in self._tables(name, dataset, figure)]

    def _tables(self, scenario: str, dataset: str, figure: str) -> list[Table]:
        own, scopes = self.jobs.own(scenario, dataset), self.scopes(scenario, dataset, figure)
        asked = [("adapt", name) for name in self.defences(scenario, dataset, figure)]
        if self.kind_has(scenario, dataset, figure, "ROUNDS"):
            asked.insert(0, ("evaluate", ""))
        tables = []
        for stage, defence in asked:
            home = self.homes.home(stage, Place(scenario, dataset, defence))
            wildcards = dict(seed=own.seeds, scope=scopes, client=own.evaluation.clients)
            paths = expand(path_of(stage), **home._asdict(), **wildcards)
            tables += [Table(scenario, defence, path) for path in paths]
        return tables

    def all_tables(self) -> list[Table]:
        """Return the tables of all figures that the config asks for, each once."""
        asked = [(s, d, f) for s in self.jobs.scenarios for d in self.jobs.readers for f in self.figures_by_name]
        return list(dict.fromkeys(table for each in asked for table in self.tables(*each)))

    def models(self, scenario: str, dataset: str, figure: str) -> list[str]:
        """Return the model files that a figure is drawn from: before and after the attack."""
        places = [(stage, self.homes.home(stage, Place(scenario, dataset))) for stage in ("pretrain", "attack")]
        own, scopes = self.jobs.own(scenario, dataset), self.scopes(scenario, dataset, figure)
        return [
            path
            for seed in own.seeds
            for scope in scopes
            for stage, home in places
            for path in expand(path_of(stage), **home._asdict(), seed=seed, scope=scope)
        ]

    def decisions(self) -> list[Table]:
        """Return the tables of what the server decided in the training stages that the config's tables come from."""
        tables = []
        for scenario in self.jobs.scenarios:
            for dataset in self.jobs.readers:
                own = self.jobs.own(scenario, dataset)
                scopes = [scope for scope, cases in SCOPES.items() if set(cases) & set(own.evaluation.cases)]
                rounds = any(self.kind_has(scenario, dataset, figure, "ROUNDS") for figure in self.figures_by_name)
                for stage in ("pretrain", "attack", *(["meta_train_after"] if rounds else [])):
                    home = self.homes.home(stage, Place(scenario, dataset))
                    wildcards = dict(seed=own.seeds, scope=scopes)
                    paths = expand(path_of(stage, "decisions"), **home._asdict(), **wildcards)
                    tables += [Table(scenario, stage, path) for path in paths]
        return tables

    def figures(self) -> list[str]:
        """Return the figures of every scenario and data set; those that compare scenarios once."""
        drawn = []
        for scenario in self.jobs.scenarios:
            for dataset in self.jobs.readers:
                for figure in self.figures_by_name:
                    across = self.kind_has(scenario, dataset, figure, "ACROSS")
                    folder = f"{FIGURES}/{dataset}" if across else f"{FIGURES}/{scenario}/{dataset}"
                    drawn.append(f"{folder}/figure-{figure}.png")
                seed = self.jobs.config["seeds"][0]
                home = self.homes.home("stamp", Place(scenario, dataset))
                drawn.append(f"{FIGURES}/{home.scenario}/{dataset}/attack-seed-{seed}.png")
        return list(dict.fromkeys(drawn))
