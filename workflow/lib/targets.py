"""What there is to make: the figures that the config asks for, and the tables and models that each needs."""

import re
from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

from snakemake.io import expand

from fedmeta import plugins
from fedmeta.evaluation.columns import SCOPES
from fedmeta.settings.together import attackers
from workflow.lib.code import Code
from workflow.lib.homes import Homes
from workflow.lib.jobs import Jobs, Place, chosen
from workflow.lib.stages import MODELS, path_of

FIGURES = "results/figures"
OF_PAPER = re.compile("A?[0-9]+")  # names of figures
# The settings in captions of figures; those of a run's scale beside the paper's, over which kinds may draw scenarios.
FOR_CAPTIONS = ("reptile.way", "reptile.inner_learning_rate", "evaluation.target_output", "attack")
FOR_CAPTIONS += ("reptile.meta_batch", "federation.selected", "meta_train_after.meta_steps")  # episodes of a round
SCALE = ("data.size", "federation", "model", "reptile", "pretrain", "attack", "meta_train_after")
SCALE += ("evaluation.episodes", "evaluation.cases", "evaluation.target_output")


def scopes_of(cases: Iterable[str]) -> list[str]:
    """Return the scopes of the models that these cases use."""
    return [scope for scope, own in SCOPES.items() if set(own) & set(cases)]


class Table(NamedTuple):
    """A table of metrics, and the scenario and the defence that it stands for in a figure."""

    scenario: str
    defence: str
    path: str


class Detail(NamedTuple):
    """What a model predicts for single images: [defence, model, seed, scope, client], and the two files."""

    name: list
    keyed: str
    episode: str


class Targets:
    """The files that a config asks for."""

    def __init__(self, jobs: Jobs, homes: Homes):
        self.jobs, self.homes = jobs, homes
        self.figures_by_name = [str(figure) for figure in jobs.config["figures"]]

    def entry(self, scenario: str, dataset: str, figure: str) -> Any:
        """Return an entry of the table of figures."""
        return self.jobs.own(scenario, dataset).figure_table[figure]

    def kind_has(self, scenario: str, dataset: str, figure: str, what: str) -> bool:
        """Tell whether the kind of a figure declares ROUNDS, MODELS, DETAILS or ACROSS."""
        return bool(plugins.constant("figure", self.entry(scenario, dataset, figure).kind, what, False))

    def scopes(self, scenario: str, dataset: str, figure: str) -> list[str]:
        """Return the scopes of the models that a figure shows."""
        return scopes_of(
            self.entry(scenario, dataset, figure).cases or self.jobs.own(scenario, dataset).evaluation.cases
        )

    def defences(self, scenario: str, dataset: str, figure: str) -> list[str]:
        """Return the entries of the defences that a figure shows: a name also stands for all entries of its grid."""
        entry, table = self.entry(scenario, dataset, figure), self.jobs.own(scenario, dataset).defences
        asked = [*entry.defences, *filter(None, [entry.control])]
        return [name for each in asked for name in sorted(table) if name == each or name.startswith(f"{each},")]

    def tables(self, scenario: str, dataset: str, figure: str) -> list[Table]:
        """Return the tables of metrics that a figure is drawn from: of its scenario, or of all that it compares."""
        if self.kind_has(scenario, dataset, figure, "ACROSS"):
            each = [name for name in self.jobs.scenarios if figure in self.jobs.own(name, dataset).figure_table]
        else:
            each = [scenario]
        return [table for name in each for table in self._tables(name, dataset, figure)]

    def _tables(self, scenario: str, dataset: str, figure: str) -> list[Table]:
        own, scopes = self.jobs.own(scenario, dataset), self.scopes(scenario, dataset, figure)
        asked = [("adapt", name, model) for name in self.defences(scenario, dataset, figure) for model in MODELS]
        if self.kind_has(scenario, dataset, figure, "ROUNDS"):
            asked.insert(0, ("evaluate", "", ""))
        tables = []
        for stage, defence, model in asked:
            home = self.homes.home(stage, Place(scenario, dataset, defence, model))
            wildcards = dict(seed=own.seeds, scope=scopes, client=own.evaluation.clients)
            paths: Any = expand(path_of(stage), **home._asdict(), **wildcards)  # no function: no wildcard is one
            tables += [Table(scenario, defence, path) for path in paths]
        return tables

    def details(self, scenario: str, dataset: str, figure: str) -> list[Detail]:
        """Return what a figure of single images shows: each defence of each model, of each seed, scope and client."""
        if not self.kind_has(scenario, dataset, figure, "DETAILS"):
            return []
        own, scopes = self.jobs.own(scenario, dataset), self.scopes(scenario, dataset, figure)
        asked = product(self.defences(scenario, dataset, figure), MODELS, own.seeds, scopes, own.evaluation.clients)
        found = []
        for defence, model, seed, scope, client in asked:
            home = self.homes.home("detail", Place(scenario, dataset, defence, model))
            wildcards = dict(seed=seed, scope=scope, client=client)
            paths = [path_of("detail", output).format(**home._asdict(), **wildcards) for output in ("keyed", "episode")]
            found.append(Detail([defence, model, seed, scope, client], *paths))
        return found

    def all_tables(self) -> list[Table]:
        """Return the tables of all figures that the config asks for, each once."""
        asked = [(s, d, f) for s in self.jobs.scenarios for d in self.jobs.readers for f in self.figures_by_name]
        return list(dict.fromkeys(table for each in asked for table in self.tables(*each)))

    def paths(self, *figure: str) -> list[str]:
        """Return the files of these tables, in their order."""
        return [table.path for table in self.tables(*figure)]

    def names(self, *figure: str) -> list[list[str]]:
        """Return scenario and defence of each of these tables."""
        return [[table.scenario, table.defence] for table in self.tables(*figure)]

    def plain_entry(self, scenario: str, dataset: str, figure: str) -> dict:
        """Return an entry of the table of figures as a param."""
        return self.jobs.settings(scenario, dataset)["figure_table"][figure]

    def code_of(self, scenario: str, dataset: str, figure: str, code: Code) -> dict[str, str]:
        """Return the versions of the code of a figure's kind."""
        return code.versions(plugins.file_of("figure", self.entry(scenario, dataset, figure).kind))

    def norms(self, scenario: str, dataset: str, figure: str) -> list[str]:
        """Return the table of kernel norms, for a kind of figure that asks for models."""
        asked = self.kind_has(scenario, dataset, figure, "MODELS")
        return [f"results/tables/{scenario}/kernel_norms-{dataset}.csv"] if asked else []

    def setups(self, scenario: str, dataset: str, figure: str) -> dict[str, dict]:
        """Return what a figure says about each scenario that it shows: settings and defences."""
        keys = SCALE if self.kind_has(scenario, dataset, figure, "ACROSS") else FOR_CAPTIONS
        shown: dict[str, list[str]] = {}
        for table in self.tables(scenario, dataset, figure):
            shown.setdefault(table.scenario, []).append(table.defence)
        return {name: self.setup(name, dataset, keys, defences) for name, defences in shown.items()}

    def setup(
        self, scenario: str, dataset: str, keys: tuple[str, ...] = SCALE, defences: list[str] | None = None
    ) -> dict[str, dict]:
        """Return settings of a scenario for a data set, and entries of its defences: all of them, or those named."""
        settings = self.jobs.settings(scenario, dataset)
        entries = {name: entry for name, entry in settings["defences"].items() if defences is None or name in defences}
        return {"settings": chosen(settings, keys), "defences": entries}

    def made_by(self, scenario: str, dataset: str) -> dict[str, str]:
        """Return who made the results of a scenario: by stage a scenario, by `adapt/DEFENCE/MODEL` SCENARIO/DEFENCE."""
        by = {
            stage: self.homes.home(stage, Place(scenario, dataset)).scenario
            for stage in ("pretrain", "attack", "meta_train_after", "evaluate")
        }
        for name in sorted(self.jobs.own(scenario, dataset).defences):
            for model in MODELS:
                home = self.homes.home("adapt", Place(scenario, dataset, name, model))
                by[f"adapt/{name}/{model}"] = f"{home.scenario}/{home.defence}"
        return by

    def compared_with_paper(self) -> list[str]:
        """Return the scenarios to compare with the paper's numbers: all of them, if a figure of the paper is drawn."""
        return self.jobs.scenarios if any(map(OF_PAPER.fullmatch, self.figures_by_name)) else []

    def methods_by_defence(self) -> dict[str, dict[str, str]]:
        """Return the methods of the defences, by scenario and name."""
        return {
            scenario: {
                name: plugins.stem(entry.method)
                for dataset in self.jobs.readers
                for name, entry in sorted(self.jobs.own(scenario, dataset).defences.items())
            }
            for scenario in self.jobs.scenarios
        }

    def known_figures(self) -> list[str]:
        """Return the names of all figures, drawn or not."""
        tables = (self.jobs.own(s, d).figure_table for s in self.jobs.scenarios for d in self.jobs.readers)
        return list(dict.fromkeys(figure for table in tables for figure in table))

    def models(self, scenario: str, dataset: str) -> list[str]:
        """Return the model files that figures of models show: before and after the attack, in pairs."""
        table = self.jobs.own(scenario, dataset).figure_table
        asking = [figure for figure in table if self.kind_has(scenario, dataset, figure, "MODELS")]
        shown = {scope for figure in asking for scope in self.scopes(scenario, dataset, figure)}
        scopes = [scope for scope in SCOPES if scope in shown]
        before, after = (self._of_scopes(scenario, dataset, stage, scopes) for stage in ("pretrain", "attack"))
        return [path for pair in zip(before, after, strict=True) for path, _ in pair]

    def decisions(self) -> list[tuple[str, list]]:
        """Return the tables of what the server decided, with [scenario, data set, seed, scope, attackers] of each."""
        found = []
        for scenario in self.jobs.scenarios:
            for dataset in self.jobs.readers:
                scopes = scopes_of(self.jobs.own(scenario, dataset).evaluation.cases)
                rounds = any(self.kind_has(scenario, dataset, figure, "ROUNDS") for figure in self.figures_by_name)
                for stage in ("pretrain", "attack", *(["meta_train_after"] if rounds else [])):
                    own = attackers(self.jobs.own(scenario, dataset))
                    tables = self._of_scopes(scenario, dataset, stage, scopes, "decisions")
                    found += [(path, [*run, list(own)]) for path, run in tables]
        return found

    def _of_scopes(
        self, scenario: str, dataset: str, stage: str, scopes: list[str], output: str = ""
    ) -> list[tuple[str, list]]:
        """Return an output of a training stage for each seed and these scopes, each with its run."""
        own, home = self.jobs.own(scenario, dataset), self.homes.home(stage, Place(scenario, dataset))
        return [
            (path_of(stage, output).format(**home._asdict(), seed=seed, scope=scope), [scenario, dataset, seed, scope])
            for seed in own.seeds
            for scope in scopes
        ]

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
