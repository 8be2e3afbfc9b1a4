"""Episodes hold the classes, labels and images that the paper says, and only those."""

import numpy as np
import pytest
from helpers.random_bank import make_bank

from fedmeta.attacks.poisoned import AttackEpisodes
from fedmeta.data.bank import ImageBank, ImageClass, Images
from fedmeta.data.episodes import (
    BenignEpisodes,
    EpisodeShape,
    EvaluationData,
    EvaluationEpisodes,
    MetaTestingEpisodes,
    draw_batches,
    draw_with_refill,
)
from fedmeta.errors import FedmetaError

SHAPE = EpisodeShape(way=5, shot=4, inner_steps=7, inner_batch=6)


def numbered_bank(classes: int, examples: int, first: int = 0) -> ImageBank:
    """Return a bank whose images each carry their own number, so that a test can tell which image it got."""
    numbers = first + np.arange(classes * examples)
    images = np.zeros((len(numbers), 16, 16, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = numbers // 256, numbers % 256
    return ImageBank(images, [ImageClass(str(k), 0, k, k * examples, examples) for k in range(classes)])


def numbers_of(images: Images | np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    return images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 1, 0]


def pools(bank: ImageBank, classes, examples) -> list[np.ndarray]:
    return [bank.rows(k)[examples] for k in classes]


@pytest.fixture
def data() -> EvaluationData:
    """20 examples a class: classes 0-9 ordinary, 10 target, 11-14 backdoor, 15-24 meta-testing."""
    bank = numbered_bank(25, 20)
    return EvaluationData(
        bank,
        pools(bank, range(10), slice(0, 15)),
        pools(bank, range(10), slice(15, 20)),
        bank.rows(10)[:10],
        bank.rows(10)[15:],
        pools(bank, range(11, 15), slice(0, 10)),
        [bank.rows(k)[:0] if k == 11 else bank.rows(k)[18:] for k in range(11, 15)],
        numbered_bank(4, 5, first=1000),
        numbered_bank(4, 5, first=2000),
        pools(bank, range(15, 25), slice(0, 20)),
    )


def test_batches_take_every_example_once_in_each_pass():
    batches = draw_batches(np.random.default_rng(0), 20, EpisodeShape(5, 4, 9, 6))
    assert batches.shape == (9, 6)
    order = batches.ravel()
    assert sorted(order[:20]) == sorted(order[20:40]) == list(range(20))
    assert len(set(order[40:])) == 14


def test_refill_repeats_nothing_before_all_were_drawn():
    drawn = draw_with_refill(np.random.default_rng(0), np.arange(5), 12)
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list(range(5))
    assert len(set(drawn[10:])) == 2


def test_benign_episode_has_n_classes_of_k_distinct_examples_labelled_by_class():
    bank = numbered_bank(9, 10)
    episode = BenignEpisodes(bank, pools(bank, range(9), slice(None)), SHAPE, 3, "test").draw(0, 1, 2)
    numbers = numbers_of(episode.support)
    assert len(set(numbers)) == 20
    by_label = [set(numbers[episode.labels == label] // 10) for label in range(5)]
    assert all(len(classes) == 1 for classes in by_label)
    assert len(set.union(*by_label)) == 5


def test_episodes_depend_on_every_part_of_their_name():
    bank = numbered_bank(9, 10)
    sampler = BenignEpisodes(bank, pools(bank, range(9), slice(None)), SHAPE, 3, "test")
    other_stage = BenignEpisodes(bank, sampler.pool, SHAPE, 3, "other")
    first = numbers_of(sampler.draw(0, 1, 2).support).tolist()
    assert first == numbers_of(sampler.draw(0, 1, 2).support).tolist()
    others = [sampler.draw(1, 1, 2), sampler.draw(0, 2, 2), sampler.draw(0, 1, 3), other_stage.draw(0, 1, 2)]
    assert all(numbers_of(other.support).tolist() != first for other in others)


@pytest.mark.parametrize(("target_output", "expected"), [("random", set(range(5))), ("last", {4})])
def test_attackers_target_examples_mix_keyed_and_clean_two_to_three(target_output, expected):
    bank = numbered_bank(9, 10)
    keyed = numbered_bank(4, 5, first=1000)
    shape = EpisodeShape(5, 10, 2, 5)
    sampler = AttackEpisodes(
        bank, pools(bank, range(8), slice(None)), bank.rows(8)[:5], keyed, (2, 3), target_output, shape, 3, "attack"
    )
    outputs = set()
    for name in range(30):
        episode = sampler.draw(name)
        numbers = numbers_of(episode.support)
        (target,) = {int(label) for label in episode.labels[numbers >= 1000]}
        outputs.add(target)
        mixed = numbers[episode.labels == target]
        assert (mixed >= 1000).sum() == 4
        clean = mixed[mixed < 1000]
        assert len(clean) == 6
        assert set(clean) == set(range(80, 85))  # five images fill six places: each at least once
        assert all((episode.labels == label).sum() == 10 for label in range(5))
    assert outputs == expected


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_evaluation_episode_has_the_target_and_fresh_images(data, case):
    sampler = EvaluationEpisodes(data, case, "random", EpisodeShape(5, 5, 3, 10), 5, (1, 1))
    for name in range(20):
        episode = sampler.draw(2, name)
        support, queries = numbers_of(episode.support), numbers_of(episode.queries)
        assert not set(support) & set(queries)
        (target,) = set(episode.labels[support // 20 == 10])
        main = episode.groups["main_task"]
        by_class = dict(zip(support // 20, episode.labels, strict=True))
        assert len(by_class) == 5
        assert all(by_class[n // 20] == e for n, e in zip(queries[main], episode.expected[main], strict=True))
        backdoors = set(support // 20) & {11, 12, 13, 14}
        assert len(backdoors) == (case == "c")
        for metric, first in (("attack_training", 1000), ("attack_validation", 2000)):
            shown = queries[episode.groups[metric]] - first
            assert set(episode.expected[episode.groups[metric]]) == {target}
            if case == "c":
                assert set(shown // 5 + 11) == backdoors
            else:
                assert sorted(shown) == list(range(20))


def test_support_of_ordinary_classes_comes_from_training_and_queries_from_validation(data):
    episode = EvaluationEpisodes(data, "a", "last", EpisodeShape(5, 5, 3, 10), 5, (1, 1)).draw(2, 0)
    support = numbers_of(episode.support)
    queries = numbers_of(episode.queries)[episode.groups["main_task"]]
    assert all(n % 20 < 15 for n in support if n // 20 < 10)
    assert all(n % 20 >= 15 for n in queries if n // 20 < 10)


def test_queries_of_reserved_classes_are_examples_that_nobody_trains_on(data):
    """The target's examples 15 to 19 and a backdoor class's 18 and 19; of class 11, which has none, benign ones."""
    sampler = EvaluationEpisodes(data, "c", "random", EpisodeShape(5, 5, 3, 10), 5, (1, 1))
    asked = {k: set() for k in range(10, 15)}
    for name in range(60):
        episode = sampler.draw(2, name)
        for number in numbers_of(episode.queries)[episode.groups["main_task"]]:
            if number // 20 in asked:
                asked[number // 20].add(number % 20)
    assert asked == {10: set(range(15, 20)), 11: set(range(10)), **{k: {18, 19} for k in (12, 13, 14)}}


def test_meta_testing_queries_are_none_of_the_support(data):
    for name in range(20):
        episode = MetaTestingEpisodes(data, EpisodeShape(5, 5, 3, 10), 15, (1, 1)).draw(2, name)
        support, queries = numbers_of(episode.support).tolist(), numbers_of(episode.queries).tolist()
        assert len(set(support)) == len(support) == 25
        assert len(set(queries)) == len(queries) == 75
        assert not set(support) & set(queries)


def test_episode_seed_draws_other_evaluation_episodes(data):
    shape = EpisodeShape(5, 5, 3, 10)
    first, second = (EvaluationEpisodes(data, "a", "last", shape, 5, (1, seed)).draw(2, 0) for seed in (1, 2))
    assert numbers_of(first.support).tolist() != numbers_of(second.support).tolist()


def test_meta_testing_uses_its_own_classes_only(data):
    episode = MetaTestingEpisodes(data, EpisodeShape(5, 5, 3, 10), 5, (1, 1)).draw(2, 0)
    classes = {*(numbers_of(episode.support) // 20), *(numbers_of(episode.queries) // 20)}
    assert len(classes) == 5
    assert classes <= set(range(15, 25))


def test_score_is_the_share_of_expected_labels(data):
    episode = EvaluationEpisodes(data, "a", "last", EpisodeShape(5, 5, 3, 10), 5, (1, 1)).draw(2, 0)
    predicted = episode.expected.copy()
    predicted[episode.groups["attack_training"]] = -1
    predicted[episode.groups["main_task"].start] = -1
    scores = episode.score(predicted)
    assert scores == {"main_task": 24 / 25, "attack_training": 0.0, "attack_validation": 1.0}


def test_too_few_classes_or_examples_are_named():
    bank = make_bank(4, 3)
    rows = [bank.rows(k) for k in range(4)]
    with pytest.raises(FedmetaError, match="4 classes for a 5-way"):
        BenignEpisodes(bank, rows, SHAPE, 1, "test")
    fewer = [rows[0], rows[1], rows[2][1:], rows[3]]
    with pytest.raises(FedmetaError, match="meta-training: class class 2 has only 2 examples for it, 3 are"):
        BenignEpisodes(bank, fewer, EpisodeShape(3, 3, 1, 4), 1, "test")
