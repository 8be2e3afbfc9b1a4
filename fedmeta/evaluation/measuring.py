"""Main-task, attack-training, attack-validation and meta-testing accuracy of models (Sec. 3, attack evaluation)."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fedmeta.checkpoints import Unfinished, state_from_tensor, state_to_tensor
from fedmeta.data.episodes import EpisodeShape, EvaluationData, EvaluationEpisodes, MetaTestingEpisodes, Sampler
from fedmeta.data.prepared import open_evaluation_data
from fedmeta.evaluation.columns import SCOPES
from fedmeta.federation.training import network_of
from fedmeta.learning.choice import choose_engine
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Start, Work
from fedmeta.learning.reptile import Learner
from fedmeta.progress import Progress
from fedmeta.settings import Settings

META_TESTING = "meta_testing"


class Measurement(NamedTuple):
    """Accuracy in [0, 1] of the model of this name at the `observed` iteration of one episode, by one metric."""

    model: Hashable
    case: str
    observed: int
    episode: int
    metric: str
    value: float


@dataclass(frozen=True)
class EvaluatedClient:
    """A benign user on whose episodes models are evaluated.

    `scope`: that of the models, `excluded` or `included`. `settings`: engine, model, and those of `reptile` and
    `evaluation` that define an episode.
    """

    user: int
    data: EvaluationData
    scope: str
    settings: Settings
    seed: int
    threads: int

    @classmethod
    def from_files(
        cls, files: Mapping[str, str], user: int, scope: str, settings: Settings, seed: int, threads: int
    ) -> "EvaluatedClient":
        """Return the client with its data from `files`, named as the inputs of the workflow's rules."""
        return cls(user, open_evaluation_data(files, user), scope, settings, seed, threads)

    @property
    def network(self) -> Conv4:
        """The network of the models."""
        return network_of(self.data.bank, self.settings)

    @property
    def cases(self) -> list[str]:
        """The evaluated cases that use models of the client's scope."""
        return [case for case in self.settings.evaluation.cases if case in SCOPES[self.scope]]

    @property
    def seeds(self) -> tuple[int, int]:
        """The run's seed, and that of the set of evaluation episodes: together they name the draws of an episode."""
        return self.seed, self.settings.evaluation.episode_seed

    def samplers(self, inner_steps: int) -> dict[str, Sampler]:
        """Return the episodes of each case, by its letter, and those of meta-testing, which all cases share."""
        evaluation, reptile = self.settings.evaluation, self.settings.reptile
        shape = EpisodeShape(reptile.way, evaluation.shot, inner_steps, reptile.inner_batch)
        queries, output = evaluation.queries, evaluation.target_output
        samplers: dict[str, Sampler] = {
            case: EvaluationEpisodes(self.data, case, output, shape, queries, self.seeds) for case in self.cases
        }
        return {**samplers, META_TESTING: MetaTestingEpisodes(self.data, shape, queries, self.seeds)}

    def measurements(
        self, learner: Learner, models: Mapping[Any, Start], observe: Iterable[int], unfinished: Unfinished
    ) -> Iterator[Measurement]:
        """Yield all measurements of `models`, each adapted to the same episodes, at the iterations to `observe`.

        Every model is adapted to main-task episodes of each case and as many of meta-testing; the latter are measured
        once and yielded for each case.
        """
        observe, names = sorted(observe), list(models)
        samplers = self.samplers(observe[-1])
        works = [
            Work(model, sampler, ((self.user, episode),))
            for episode in range(self.settings.evaluation.episodes)
            for sampler in samplers
            for model in range(len(names))
        ]
        starts, threads = list(models.values()), self.threads
        with choose_engine(self.settings.engine, learner, samplers, threads, len(starts), 1) as engine:
            scored = scores_of(engine, starts, works, observe, unfinished)
        for work, scores in zip(works, scored, strict=True):
            for observed, score in zip(observe, scores, strict=True):
                for metric, value in score.items():
                    for case in self.cases if work.sampler == META_TESTING else [work.sampler]:
                        yield Measurement(names[work.start], case, observed, work.episodes[0][1], metric, value)


def scores_of(
    engine, models: Sequence[Start], works: Sequence[Work], observe: Sequence[int], unfinished: Unfinished
) -> list[list[dict[str, float]]]:
    """Return the scores of each work at the iterations to `observe`, resuming unfinished work."""
    kept = unfinished.load()
    done = state_from_tensor(kept["scores"]) if kept else []
    progress = Progress("evaluation", len(works), len(done))
    several = f"mean over {len(models)} models: " if len(models) > 1 else ""
    for outcome in engine.run(models, works[len(done) :], observe):
        done.append(outcome.scores)
        unfinished.save_if_due(lambda: {"scores": state_to_tensor(done)})
        progress.advance(1, several + running_accuracy(done))
    return done


def running_accuracy(scores: Iterable[list[dict[str, float]]]) -> str:
    """Return the mean accuracy so far by metric, at the last observed iteration, in percent."""
    values: dict[str, list[float]] = {}
    for work in scores:
        for metric, value in work[-1].items():
            values.setdefault(metric, []).append(value)
    return ", ".join(f"{metric} {100 * np.mean(of_metric):.0f}%" for metric, of_metric in sorted(values.items()))
