"""Main-task, attack-training, attack-validation and meta-testing accuracy of models (Sec. 3, attack evaluation)."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from fedmeta.checkpoints import Unfinished
from fedmeta.data.episodes import EpisodeShape, EvaluationData, EvaluationEpisodes, MetaTestingEpisodes, Sampler
from fedmeta.files import atomic_path
from fedmeta.learning.engine import Start, Work
from fedmeta.progress import Progress

COLUMNS = (
    *("dataset", "seed", "experiment", "model", "case", "client", "defence", "delta"),
    *("step", "episode", "metric", "value"),
)
META_TESTING = "meta_testing"


SCOPES = {"excluded": ("a",), "included": ("b", "c")}


def cases_of(scope: str, cases: Sequence[str]) -> list[str]:
    """Return which of the `cases` use models of this scope: cases (b) and (c) share their training."""
    return [case for case in cases if case in SCOPES[scope]]


class Measurement(NamedTuple):
    """Accuracy in [0, 1] of model number `model` at the `observed` iteration of one episode, by one metric."""

    model: int
    case: str
    observed: int
    episode: int
    metric: str
    value: float


def evaluation_samplers(
    data: EvaluationData,
    cases: Sequence[str],
    target_output: str,
    shape: EpisodeShape,
    queries: int,
    seed: tuple[int, int],
) -> dict[str, Sampler]:
    """Return the episodes of each case, by its letter, and those of meta-testing, which all cases share.

    `seed`: the run's, and that of the set of evaluation episodes.
    """
    samplers = {case: EvaluationEpisodes(data, case, target_output, shape, queries, seed) for case in cases}
    return {**samplers, META_TESTING: MetaTestingEpisodes(data, shape, queries, seed)}


def measure(
    engine,
    models: Sequence[Start],
    cases: Sequence[str],
    client: int,
    episodes: int,
    observe: Sequence[int],
    unfinished: Unfinished,
) -> Iterator[Measurement]:
    """Yield all measurements of `models`, each adapted to the same episodes, at the iterations to `observe`.

    Every model is adapted to `episodes` main-task episodes of each case and as many of meta-testing; the latter are
    measured once and yielded for each case.
    """
    samplers = (*cases, META_TESTING)
    works = [
        Work(model, sampler, ((client, episode),))
        for episode in range(episodes)
        for sampler in samplers
        for model in range(len(models))
    ]
    for work, scores in zip(works, run_observed(engine, models, works, observe, unfinished), strict=True):
        episode = work.episodes[0][1]
        for observed, score in zip(observe, scores, strict=True):
            for metric, value in score.items():
                for case in cases if work.sampler == META_TESTING else [work.sampler]:
                    yield Measurement(work.start, case, observed, episode, metric, value)


def run_observed(
    engine, models: Sequence[Start], works: Sequence[Work], observe: Sequence[int], unfinished: Unfinished
) -> list[list[dict[str, float]]]:
    """Return the scores of each work at the iterations to `observe`, going on from unfinished work."""
    kept = unfinished.load()
    done = json.loads(kept["scores"].numpy().tobytes()) if kept else []
    progress = Progress("evaluation", len(works), len(done))
    for outcome in engine.run(models, works[len(done) :], observe):
        done.append(outcome.scores)
        unfinished.save_if_due(
            lambda: {"scores": torch.from_numpy(np.frombuffer(json.dumps(done).encode(), np.uint8).copy())}
        )
        progress.advance(1, running_accuracy(done))
    return done


def running_accuracy(scores: Iterable[list[dict[str, float]]]) -> str:
    """Return the mean accuracy so far by metric, at the last observed iteration, in percent."""
    values: dict[str, list[float]] = {}
    for work in scores:
        for metric, value in work[-1].items():
            values.setdefault(metric, []).append(value)
    return ", ".join(f"{metric} {100 * np.mean(of_metric):.0f}%" for metric, of_metric in sorted(values.items()))


def write_measurements(path: str | os.PathLike, rows: Iterable[Mapping]) -> None:
    """Write rows with the columns of `COLUMNS` as CSV; what a row leaves out is empty."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
