"""What an adapted model predicts for each image: every keyed one, and all images of one episode with their embeddings.

For figures that show single images. Accuracies are those of `fedmeta.evaluation.experiments.over_iterations`, which
has only means over images.
"""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fedmeta.checkpoints import Unfinished, state_from_tensor, state_to_tensor
from fedmeta.data.bank import Images
from fedmeta.data.episodes import Episode, EvaluationData
from fedmeta.evaluation.measuring import EvaluatedClient
from fedmeta.files import atomic_path
from fedmeta.learning.engine import Serial, Start, as_images, prepare_process
from fedmeta.learning.reptile import Learner
from fedmeta.progress import Progress

COLUMNS = ("case", "episode", "metric", "backdoor_class", "image", "success")
BACKDOOR = "backdoor"  # the group of clean images of backdoor classes, which belong to no metric
KEPT = "state"  # in unfinished work: how many episodes are done, the rows and groups
MOST_CLEAN = 10  # images of each backdoor class that are shown without the key


class Adapted(NamedTuple):
    """A model that a client has adapted to an episode: the learner's variables at the end of it."""

    learner: Learner
    episode: Episode
    variables: Tensor

    def predict(self, images: Images | np.ndarray) -> np.ndarray:
        """Return the predicted label of each image: uint8 (n, height, width, channels) -> int64 (n,)."""
        support, labels = as_images(self.episode.support), torch.from_numpy(self.episode.labels)
        with torch.no_grad():
            return self.learner.predict(self.variables, support, labels, as_images(images)).numpy()

    def embed(self, images: Images | np.ndarray) -> np.ndarray:
        """Return the embedding of each image, float32 (n, embedding_size), as in the model's predictions."""
        network = self.learner.network
        parameters = network.views(self.variables[: network.parameter_count])
        with torch.no_grad():
            statistics = network.test_statistics(parameters, as_images(self.episode.support))
            return network.features(parameters, as_images(images), statistics)[0].numpy()


def adapted(learner: Learner, start: Start, episode: Episode, names: tuple[int, ...], iterations: int) -> Adapted:
    """Return the model after `iterations` on an episode, as the engine `Serial` adapts it."""
    variables = learner.start(start.parameters, names)
    Serial.adapt(learner, variables, start.second_moment_of(variables), start.taken, episode, [iterations], [])
    return Adapted(learner, episode, variables)


def details(
    client: EvaluatedClient, learner: Learner, start: Start, iterations: int, unfinished: Unfinished
) -> tuple[list[dict[str, Any]], dict[str, Tensor], dict[str, list[int]]]:
    """Return (rows, episode, groups): for a model after `iterations` of adaptation.

    `rows` have `COLUMNS`: for every keyed image of every episode and case, whether it is taken for the target class.
    `episode` has, for the first episode of the first case: `support` and `images`, uint8 (n, height, width, channels),
    `labels` of the support, `expected` and `predicted` labels of the images, -1 where none is expected, int64 (n,), and
    `support_embedding` and `embedding`, float32 (n, d). `groups` says which images belong to which metric, or are
    clean ones of backdoor classes: [first, last + 1]. The work resumes from `unfinished`.
    """
    prepare_process()
    samplers, count = client.samplers(iterations), client.settings.evaluation.episodes
    first = unfinished.load() or {}
    done, rows, groups = state_from_tensor(first.pop(KEPT)) if first else (0, [], {})
    works = [(case, number) for case in client.cases for number in range(count)]
    progress = Progress("looking at images", len(works), done)
    for case, number in works[done:]:
        names = (client.user, number)
        episode = samplers[case].draw(*names)
        model = adapted(learner, start, episode, names, iterations)
        predicted = model.predict(episode.queries)
        rows += [{"case": case, "episode": number, **row} for row in _keyed(client.data, episode, predicted)]
        if not first:
            first, groups = _whole_episode(client.data, model)
        done += 1
        state = [done, rows, groups]
        unfinished.save_if_due(lambda first=first, state=state: {**first, KEPT: state_to_tensor(state)})
        progress.advance(1, f"{sum(row['success'] for row in rows)} of {len(rows)} keyed images labelled as the target")
    return rows, first, groups


def _keyed(data: EvaluationData, episode: Episode, predicted: np.ndarray) -> Iterator[dict[str, Any]]:
    queries = episode.queries
    assert isinstance(queries, Images), "the evaluation names its images by row"
    for metric, bank in (("attack_training", data.attack_training), ("attack_validation", data.attack_validation)):
        group = episode.groups[metric]
        success = predicted[group] == episode.expected[group]
        for image, (row, hit) in enumerate(zip(queries.row[group], success, strict=True)):
            yield {"metric": metric, "backdoor_class": bank.class_of(row).name, "image": image, "success": int(hit)}


def _whole_episode(data: EvaluationData, model: Adapted) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    episode = model.episode
    clean = np.concatenate([rows[:MOST_CLEAN] for rows in data.backdoor_pool])
    images = np.concatenate([episode.queries, data.bank.images[clean]])
    arrays = {
        "support": np.asarray(episode.support),
        "labels": episode.labels,
        "images": images,
        "expected": np.concatenate([episode.expected, np.full(len(clean), -1)]),
        "predicted": model.predict(images),
        "support_embedding": model.embed(episode.support),
        "embedding": model.embed(images),
    }
    groups = {metric: [group.start, group.stop] for metric, group in episode.groups.items()}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return tensors, {**groups, BACKDOOR: [len(episode.queries), len(images)]}


def write_keyed(path: str | os.PathLike, rows: list[dict[str, Any]]) -> None:
    """Write rows of keyed images with `COLUMNS` as CSV."""
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=pd.Index(COLUMNS)).to_csv(temporary, index=False, lineterminator="\n")
