"""Which results the report shows, and where: by scenario, data set and experiment.

The report's menu sorts by name: results that compare scenarios are in the group that comes first.
"""

from functools import cached_property
from typing import Any

from snakemake.io import report

from fedmeta import plugins
from fedmeta.reporting.figures.captions import display
from workflow.lib.jobs import Jobs
from workflow.lib.targets import FIGURES, OF_PAPER, Targets

MOST_PICTURES = 24  # of single scenarios; with more, the report shows only tables and comparisons of scenarios
CAPTIONS = "../report"  # from the folder of the rules
ACROSS, RUN = "All scenarios", "The run"
EXPERIMENTS = {"3": 1, "4": 1, "5": 2, "6": 2, "7": 3, "8": 3}  # of the paper, by its figures
NAMES = {
    "comparison": "Comparison of the scenarios",
    "rejections": "Rejections by the server",
    "run_times": "Run times",
    "summary": "Summary of every step",
    "paper_against_ours": "Paper against ours",
}


class Marks:
    """Marks outputs of rules for the report. Marks are read when it is written, and rerun nothing."""

    def __init__(self, jobs: Jobs, targets: Targets):
        self.jobs, self.targets = jobs, targets

    @cached_property
    def pictures_left_out(self) -> bool:
        """Whether there are too many pictures of single scenarios for one file."""
        pictures = len(self.targets.figures()) - len(self.across) + len(self.targets.compared_with_paper())
        return pictures > MOST_PICTURES

    @cached_property
    def across(self) -> list[str]:
        """The figures that compare scenarios."""
        folders = [f"{FIGURES}/{dataset}/figure-" for dataset in self.jobs.readers]
        found = [path for path in self.targets.figures() if path.startswith(tuple(folders))]
        return [path.replace(".png", ".svg") for path in found]

    def shown(self, path: str) -> bool:
        """Tell whether the report shows a result."""
        return path.endswith(".html") or path in self.across or not self.pictures_left_out

    def attack(self, path: str) -> Any:
        """Return the contact sheet's path, marked."""
        return self._picture(path, "attack.rst", lambda w: f"Attack, seed {w.seed}")

    def paper(self, path: str) -> Any:
        """Return the path of the figure "paper against ours", marked."""
        return self._picture(path, "paper.rst", lambda w: "Paper against ours, drawn")

    def figure(self, path: str) -> Any:
        """Return the path of a figure of one scenario, marked."""
        return self._picture(path, "figure.rst", self.result)

    def figure_across(self, path: str) -> Any:
        """Return the path of a figure that compares scenarios, marked."""
        return self._marked(path, "figure.rst", lambda w: ACROSS, self.result)

    def page(self, path: str) -> Any:
        """Return the path of a table's page, marked."""
        return self._marked(path, "table.rst", lambda w: group_of(w.table), lambda w: NAMES[w.table.rpartition("/")[2]])

    def tables(self) -> list[str]:
        """Return the tables that have a page, as their paths in results/tables."""
        compared = [f"{scenario}/paper_against_ours" for scenario in self.targets.compared_with_paper()]
        return ["comparison", "rejections", "run_times", "summary", *compared]

    def result(self, wildcards) -> str:
        """Return a figure's name in the report: by the paper's experiment, if the paper has the figure."""
        scenario = wildcards.get("scenario", self.jobs.scenarios[0])
        kind = plugins.stem(self.targets.entry(scenario, wildcards.dataset, wildcards.figure).kind).replace("_", " ")
        more = "" if kind == wildcards.figure.replace("-", " ") else f", {kind}"
        return f"{experiment_of(wildcards.figure)}: figure {wildcards.figure}{more}"

    def _picture(self, path: str, caption: str, result: Any) -> Any:
        """Return the path of a picture of one scenario, marked unless there are too many of them."""
        if self.pictures_left_out:
            return path
        return self._marked(path, caption, lambda w: f"Scenario {w.scenario}", result)

    def _marked(self, path: str, caption: str, category: Any, result: Any) -> Any:
        return report(
            path,
            caption=f"{CAPTIONS}/{caption}",
            category=category,
            subcategory=self._dataset,
            labels=lambda wildcards: {"result": result(wildcards)},
        )

    def _dataset(self, wildcards) -> str:
        readers = list(self.jobs.readers)
        own = wildcards.get("dataset", readers[0] if len(readers) == 1 else None)
        return display(own) if own else "All data sets"


def experiment_of(figure: str) -> str:
    """Return the experiment of the paper that a figure belongs to."""
    if figure in EXPERIMENTS:
        return f"Experiment {EXPERIMENTS[figure]}"
    return "Experiments of the appendix" if OF_PAPER.fullmatch(figure) else "Not in the paper"


def group_of(table: str) -> str:
    """Return the group that a table, given as its path in results/tables, is shown in."""
    scenario, _, name = table.rpartition("/")
    return f"Scenario {scenario}" if scenario else RUN if name == "run_times" else ACROSS


def title_of(table: str) -> str:
    """Return the title of the page of a table, given as its path in results/tables."""
    scenario, _, name = table.rpartition("/")
    return f"{NAMES[name]}, scenario {scenario}" if scenario else NAMES[name]
