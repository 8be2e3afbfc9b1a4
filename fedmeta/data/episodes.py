"""N-way K-shot episodes, of benign users and of the evaluation.

A sampler is bound to its data once and draws an episode by its name, in any process: workers are sent only names.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fedmeta.data.bank import ImageBank, Images
from fedmeta.data.requirements import require_classes, require_examples
from fedmeta.data.splits import Pool, Split
from fedmeta.draws import generator

METRICS = ("main_task", "attack_training", "attack_validation", "meta_testing")


@dataclass(frozen=True)
class Episode:
    """One classification task.

    support: N * K images; labels: int64 (N * K,) in 0..N-1;
    batches: int64 (inner steps, inner batch), rows of the support;
    queries: Q images, grouped by metric; expected: int64 (Q,), the label that counts as a success (for keyed backdoor
    images the target's); groups: the queries of each metric.
    Images are named by row, or uint8 (image, height, width, channels).
    """

    support: Images | np.ndarray
    labels: np.ndarray
    batches: np.ndarray
    queries: Images | np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    expected: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    groups: dict[str, slice] = field(default_factory=dict)

    def score(self, predicted: np.ndarray) -> dict[str, float]:
        """Return, by metric, the share of queries whose predicted label (Q,) is the expected one."""
        correct = predicted == self.expected
        return {metric: float(correct[group].mean()) for metric, group in self.groups.items()}


@dataclass(frozen=True)
class EpisodeShape:
    """`way` (N), `shot` (K), and how the support is cut into batches for `inner_steps` steps of SGD."""

    way: int
    shot: int
    inner_steps: int
    inner_batch: int


class Sampler(Protocol):
    """Draws the episode of a name; all its episodes have the same `shape`."""

    shape: EpisodeShape

    def draw(self, *names: int) -> Episode: ...


def draw_batches(random: np.random.Generator, examples: int, shape: EpisodeShape) -> np.ndarray:
    """Return (inner steps, inner batch) rows: every example once in each pass over the shuffled support.

    Batches continue across the end of a pass, so all have the same size.
    """
    needed = shape.inner_steps * shape.inner_batch
    passes = [random.permutation(examples) for _ in range(math.ceil(needed / examples))]
    order = np.concatenate([*passes, np.empty(0, np.int64)])
    return order[:needed].reshape(shape.inner_steps, shape.inner_batch)


def draw_with_refill(random: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of `rows`; none is drawn a second time before all were drawn once."""
    passes = [random.permutation(rows) for _ in range(math.ceil(count / len(rows)))]
    return np.concatenate(passes)[:count]


class BenignEpisodes:
    """A benign user's meta-training episodes (Sec. 2): N random classes of its pool, K examples of each."""

    def __init__(self, bank: ImageBank, pool: Pool, shape: EpisodeShape, seed: int, stage: str):
        require_classes(pool, shape.way, "meta-training")
        require_examples(bank, pool, shape.shot, "meta-training")
        self.bank, self.pool, self.shape, self.seed, self.stage = bank, pool, shape, seed, stage

    def draw(self, *names: int) -> Episode:
        random = generator(self.seed, self.stage, *names)
        chosen = random.choice(len(self.pool), self.shape.way, replace=False)
        rows = np.concatenate([random.choice(self.pool[k], self.shape.shot, replace=False) for k in chosen])
        labels = np.repeat(np.arange(self.shape.way), self.shape.shot)
        return Episode(self.bank.at(rows), labels, draw_batches(random, len(rows), self.shape))


@dataclass(frozen=True)
class EvaluationData:
    """What the evaluation of one client draws from; see `Split` for the pools."""

    bank: ImageBank
    support_pool: Pool
    query_pool: Pool
    target_rows: np.ndarray
    target_queries: np.ndarray
    backdoor_pool: Pool
    backdoor_queries: Pool
    attack_training: ImageBank
    attack_validation: ImageBank
    meta_testing_pool: Pool

    @classmethod
    def of_client(cls, bank: ImageBank, split: Split, keyed: Sequence[ImageBank], client: int) -> "EvaluationData":
        """Return the data of `client` (a benign user); `keyed` are the attack training and validation sets."""
        target_queries, backdoor_queries = split.reserved_validation()
        attack_training, attack_validation = keyed
        return cls(
            bank,
            split.training(client),
            split.validation(client),
            split.target_benign(client),
            target_queries,
            split.backdoor_benign(client),
            backdoor_queries,
            attack_training,
            attack_validation,
            split.meta_testing(),
        )


class EvaluationEpisodes:
    """A client's main-task episodes (Sec. 3, attack evaluation) with the attack's images among the queries.

    The classes are N-1 ordinary meta-training classes and always the target, all with benign examples and correct
    labels. In case (c) a backdoor class with its correct label replaces one of the ordinary classes, and only the keyed
    images of that class are queried; in cases (a) and (b) all keyed images are. Queries of a reserved class are
    examples that nobody trains on. A class with none left is queried with benign ones outside the support, on which
    users of cases (b) and (c) have trained. `target_output`: see `draw_outputs`.
    """

    def __init__(
        self,
        data: EvaluationData,
        case: str,
        target_output: str,
        shape: EpisodeShape,
        queries: int,
        seed: tuple[int, int],
    ):
        present = int(case == "c")
        require_classes(data.support_pool, shape.way - 1 - present, "evaluation")
        require_examples(data.bank, data.support_pool, shape.shot, "evaluation, training examples")
        require_examples(data.bank, data.query_pool, 1, "evaluation, validation examples")
        held_out = [data.target_queries, *data.backdoor_queries]
        for rows, queries_of_class in zip([data.target_rows, *data.backdoor_pool], held_out, strict=True):
            needed = shape.shot + (len(queries_of_class) == 0)
            require_examples(data.bank, [rows], needed, "evaluation, reserved classes")
        self.data, self.case, self.target_output = data, case, target_output
        self.shape, self.queries, self.seed = shape, queries, seed

    def draw(self, *names: int) -> Episode:
        data, way, shot = self.data, self.shape.way, self.shape.shot
        random = generator(self.seed, "evaluation: main task", *names)
        chosen = random.choice(len(data.support_pool), way - 1, replace=False)
        backdoor = int(random.integers(len(data.backdoor_pool)))
        reserved = [(data.target_rows, data.target_queries)]
        if self.case == "c":
            chosen = chosen[1:]
            reserved.append((data.backdoor_pool[backdoor], data.backdoor_queries[backdoor]))
        support, queries = [], []
        for k in chosen:
            support.append(random.choice(data.support_pool[k], shot, replace=False))
            queries.append(draw_up_to(random, data.query_pool[k], self.queries))
        for rows, held_out in reserved:
            mixed = random.permutation(rows)
            support.append(mixed[:shot])
            left = random.permutation(held_out) if len(held_out) else mixed[shot:]
            queries.append(left[: self.queries])
        outputs = draw_outputs(random, way, len(chosen), self.target_output)
        keyed = {"attack_training": data.attack_training, "attack_validation": data.attack_validation}
        if self.case == "c":
            shown = {metric: bank.at(bank.rows(backdoor)) for metric, bank in keyed.items()}
        else:
            shown = {metric: bank.at(np.arange(len(bank.images))) for metric, bank in keyed.items()}
        sets = {"main_task": data.bank.at(np.concatenate(queries)), **shown}
        expected = np.repeat(outputs, [len(rows) for rows in queries])
        expected = np.concatenate([expected, np.full(sum(map(len, shown.values())), outputs[len(chosen)])])
        return Episode(
            data.bank.at(np.concatenate(support)),
            np.repeat(outputs, shot),
            draw_batches(random, way * shot, self.shape),
            Images.joined(list(sets.values())),
            expected,
            slices({metric: len(images) for metric, images in sets.items()}),
        )


class MetaTestingEpisodes:
    """Episodes of classes that no user ever trains on (Sec. 2): K examples to adapt to, `queries` to test on."""

    def __init__(self, data: EvaluationData, shape: EpisodeShape, queries: int, seed: tuple[int, int]):
        require_classes(data.meta_testing_pool, shape.way, "meta-testing")
        require_examples(data.bank, data.meta_testing_pool, shape.shot + 1, "meta-testing")
        self.data, self.shape, self.queries, self.seed = data, shape, queries, seed

    def draw(self, *names: int) -> Episode:
        random = generator(self.seed, "evaluation: meta-testing", *names)
        way, shot = self.shape.way, self.shape.shot
        pool = self.data.meta_testing_pool
        drawn = [random.permutation(pool[k]) for k in random.choice(len(pool), way, replace=False)]
        queries = [rows[shot : shot + self.queries] for rows in drawn]
        return Episode(
            self.data.bank.at(np.concatenate([rows[:shot] for rows in drawn])),
            np.repeat(np.arange(way), shot),
            draw_batches(random, way * shot, self.shape),
            self.data.bank.at(np.concatenate(queries)),
            np.repeat(np.arange(way), [len(rows) for rows in queries]),
            {"meta_testing": slice(None)},
        )


def draw_outputs(random: np.random.Generator, way: int, target: int, target_output: str) -> np.ndarray:
    """Return the network output of each class of an episode, (way,), the target being class number `target`.

    `target_output`: "last", the target is the N-th output (Sec. 2), or "random".
    """
    outputs = random.permutation(way)
    if target_output == "last":
        other = np.flatnonzero(outputs == way - 1)[0]
        outputs[[target, other]] = outputs[[other, target]]
    return outputs


def draw_up_to(random: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    """Return `count` of `rows`, or all of them if there are fewer, in random order."""
    return random.permutation(rows)[:count]


def slices(lengths: dict[str, int]) -> dict[str, slice]:
    """Return consecutive slices of the given lengths."""
    ends = np.cumsum(list(lengths.values()))
    return {name: slice(int(end) - length, int(end)) for (name, length), end in zip(lengths.items(), ends, strict=True)}
