"""What the report's captions get besides their templates, workflow/report/*.rst: the run's own settings and files.

Everything is looked up when the report is written.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fedmeta import plugins
from fedmeta.paper.scale import scale
from fedmeta.paper.stated_settings import EPISODES, SCALE
from fedmeta.reporting.figures.captions import ORDERS, defence_title, display
from fedmeta.reporting.setup import Setup
from fedmeta.settings import Settings
from workflow.lib.report_marks import Marks, experiment_of
from workflow.lib.targets import FIGURES, OF_PAPER

MINI_IMAGENET = ("4", "6", "8", "A2", "A7")  # the paper's figures of it
COMPARISON = "What is left of the attack at the end, under each defence."
PAPER = "Each number of the paper's text beside this run's, with a verdict."
METRICS = "results/metrics.csv"
MOST_ROWS = 12  # of an overview, on the first page and on a terminal


class Words:
    """Functions for the templates. `wildcards` are those of the job whose output has the caption."""

    def __init__(self, marks: Marks):
        self.jobs, self.targets, self.marks = marks.jobs, marks.targets, marks
        self.setup = cache(self.setup)

    def scenarios(self, wildcards) -> list[str]:
        """Return the scenario that a result is of, or all of them."""
        own = wildcards.get("scenario")
        return [own] if own else self.jobs.scenarios

    def shows(self, wildcards) -> str:
        """Return what a figure shows: the first paragraph of the docstring of its kind."""
        return self._docstring(wildcards).partition("\n\n")[0].replace("\n", " ")

    def reading(self, wildcards) -> str:
        """Return how to read a figure: the other paragraphs, "" if there are none."""
        return self._docstring(wildcards).partition("\n\n")[2]

    def _docstring(self, wildcards) -> str:
        kind = self.targets.entry(self.scenarios(wildcards)[0], wildcards["dataset"], wildcards["figure"]).kind
        return ast.get_docstring(ast.parse(plugins.source_of("figure", kind).read_text())) or ""

    def title(self, wildcards) -> str:
        """Return a figure's title: what its entry says, or its data set and name."""
        own = self.targets.entry(self.scenarios(wildcards)[0], wildcards.dataset, wildcards.figure).title
        return own or f"{display(wildcards.dataset)}: figure {wildcards.figure} ({experiment_of(wildcards.figure)})"

    def defences(self, wildcards) -> dict[str, str]:
        """Return what each defence in a figure is, by its name."""
        scenario, dataset = self.scenarios(wildcards)[0], wildcards.dataset
        setup = self.setup(scenario, dataset)
        shown = dict.fromkeys(self.targets.defences(scenario, dataset, wildcards.figure))
        words = {name: defence_title(setup, name).replace("\n", ", ") for name in shown}
        for name in shown:
            if "target_output" in setup.defences[name].evaluation:
                words[name] += f"; {ORDERS[setup.target_output(name)].partition(';')[0]}"
        return words

    def datasets(self, wildcards=None) -> list[str]:
        """Return the name of a result's data set, as it is spelt, or of all data sets."""
        return [display(dataset) for dataset in self._datasets(wildcards)]

    def setup(self, scenario: str, dataset: str) -> Setup:
        """Return the settings and defences of a scenario for a data set."""
        return Setup.of(self.targets.setup(scenario, dataset))

    def scale(self, wildcards) -> str:
        """Return at what scale a result was made: of its scenarios and its data set, or of all data sets."""
        return self.scale_of(self.scenarios(wildcards), self._datasets(wildcards))

    def scale_of(self, scenarios: Iterable[str], datasets: Iterable[str]) -> str:
        """Return the scale of runs in words: two numbers if two scenarios or data sets differ."""
        places = [(scenario, dataset) for scenario in scenarios for dataset in datasets]
        own = [self.jobs.own(*place) for place in places]
        scales = [scale(self.setup(*place).settings) for place in places]
        parts = {
            "evaluation episodes of each kind": either(each.evaluation.episodes for each in own),
            "clients": either(len(each.evaluation.clients) for each in own),
            "seeds": either(len(each.seeds) for each in own),
            **{what: either(each[key] for each in scales) for key, what in IN_WORDS.items()},
        }
        return ", ".join(f"{number} {singular(what, number)}" for what, number in parts.items())

    def of_paper(self, figure: str) -> str:
        """Return the paper's scale for one of its figures, "" for others."""
        if not OF_PAPER.fullmatch(figure):
            return ""
        stated = SCALE["mini-imagenet" if figure in MINI_IMAGENET else "omniglot"]
        parts = {"evaluation episodes of each kind": EPISODES, **{IN_WORDS[key]: each for key, each in stated.items()}}
        return ", ".join(f"{number:,} {what}" for what, number in parts.items())

    def _datasets(self, wildcards) -> list[str]:
        own = wildcards and wildcards.get("dataset")
        return [own] if own else list(self.jobs.readers)

    def overview(self) -> tuple[str, list[list[str]]]:
        """Return what `outcomes` is measured over, and its headings and rows as text; none if none or too many.

        A single scenario or data set goes without its column.
        """
        from fedmeta.reporting.outcomes import lifts_of, measured, outcomes, sample_of  # SciPy, for this alone
        from fedmeta.reporting.results import read_metrics

        metrics, variants = read_metrics(METRICS), self.jobs.variants()
        table = outcomes(metrics, variants)
        if table.empty or len(table) > MOST_ROWS:
            return "", []
        rows = [
            {
                "scenario": row["scenario"],
                "data set": display(row["dataset"]),
                "defence": row["defence"] or "none, after the last round",
                "lift": lifts_of(row),
                "in words": row["words"],
                "meta-testing": measured(row, "meta_testing"),
                "main task": measured(row, "main_task"),
            }
            for row in table.to_dict("records")
        ]
        alike = {name for name in ("scenario", "data set") if len({row[name] for row in rows}) == 1}
        shown = [name for name in rows[0] if name not in alike]
        return sample_of(metrics, variants), [shown, *([row[name] for name in shown] for row in rows)]

    def first_results(self) -> list[tuple[str, str, str]]:
        """Return what a reader should see first: path, name, and why. Figures of single scenarios are of the first."""
        first, above, below = self.jobs.scenarios[0], [], []
        for dataset in self.jobs.readers:
            for figure in self.targets.figures_by_name:
                place = {"scenario": first, "dataset": dataset, "figure": figure}
                across = self.targets.kind_has(first, dataset, figure, "ACROSS")
                folder = f"{FIGURES}/{dataset}" if across else f"{FIGURES}/{first}/{dataset}"
                defences = ", ".join(f"``{name}``" for name in self.targets.entry(first, dataset, figure).defences)
                why = f"{self.shows(place)} Defences: {defences}." if defences else self.shows(place)
                line = (f"{folder}/figure-{figure}.svg", f"figure {figure}, {display(dataset)}", why)
                (above if across else below).append(line)
        tables = [("results/tables/comparison.html", "comparison of the scenarios", COMPARISON)]
        if self.targets.compared_with_paper():
            tables.append((f"results/tables/{first}/paper_against_ours.html", "paper against ours", PAPER))
        return [line for line in above + tables + below if self.marks.shown(line[0])][:MOST_ROWS]

    def link(self, path: str, text: str) -> str:
        """Return a link that shows a result and its caption, or only the text if the report does not have it."""
        if not (Path(path).exists() and self.marks.shown(path)):
            return text
        content = "html" if path.endswith(".html") else "img"
        place = f"'{path}'"
        view = f"navbarMode:'resultinfo',resultPath:{place},content:'{content}',contentPath:results[{place}].data_uri"
        return f"`{text} <javascript:app.setView({{{view}}})>`__"

    def config(self) -> str:
        """Return the whole config as YAML: the defaults, with the files of the call laid over them."""
        config = self.jobs.config
        return yaml.safe_dump({key: config[key] for key in Settings.model_fields if key in config}, sort_keys=False)


IN_WORDS = {
    "pretraining_episodes": "pre-training episodes",
    "attack_inner_steps": "inner steps of the attacker",
    "rounds_after": "benign rounds after the attack",
    "filters": "filters",
    "image_size": "pixels",
}


def either(values: Iterable[Any]) -> str:
    """Return the values that differ, in their order: "8", "8 or 32"; "no" for None."""
    words = ("no" if each is None else f"{each:,}" if isinstance(each, int) else str(each) for each in values)
    return " or ".join(dict.fromkeys(words))


def singular(noun: str, number: str) -> str:
    """Return a noun as it follows a number."""
    return noun.removesuffix("s") if number == "1" else noun
