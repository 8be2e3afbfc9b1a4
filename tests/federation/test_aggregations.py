"""The package's aggregations against loops written from their papers, and what is to hold of each of them."""

import byzfl
import numpy as np
import pytest
import torch
from helpers import naive_aggregations as naive
from helpers.aggregations import CHOOSING, EXACT, ROBUST, SIZE, F, N, aggregate, draw, listed, shared_of, weights_of

from fedmeta.errors import FedmetaError
from fedmeta.federation.rounds import Federation

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("method", ROBUST)
def test_a_robust_aggregation_is_what_its_paper_says(method, seed):
    updates, shared = draw(seed), shared_of(seed)
    weights = weights_of(updates)
    made = aggregate(method, updates, shared, weights, **EXACT[method])
    mean = getattr(naive, method)(listed(updates), F)
    tolerance = 1e-5 if method == "geometric_median" else 1e-12
    expected = shared.numpy() + sum(weights.values()) * mean
    np.testing.assert_allclose(made.shared, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", SEEDS)
def test_krum_counts_as_the_paper_does_and_byzfl_one_more(seed):
    updates = draw(seed)
    vectors = np.stack(listed(updates))
    for kept in (1, 3, N - F):
        made = aggregate("multi_krum", updates, attackers=F, kept=kept)
        np.testing.assert_allclose(made.shared, naive.multi_krum(listed(updates), F, kept))
    made = aggregate("multi_krum", updates, attackers=F, kept=N - F - 1)
    np.testing.assert_allclose(made.shared, byzfl.MultiKrum(F + 1)(vectors))
    np.testing.assert_allclose(aggregate("krum", updates, attackers=F + 1).shared, naive.krum(listed(updates), F + 1))


def test_krum_of_one_update_that_byzfl_itself_would_not_choose():
    """With n = 5 and f = 1 two neighbours count: 0 has them at 1 and 1; with three the nearest is 2."""
    points = {1: 0.0, 2: 1.0, 3: -1.0, 4: 2.5, 5: 3.2}
    vectors = np.array([[point, 0.0] for point in points.values()])
    assert byzfl.Krum(1)(vectors)[0] == 1
    made = aggregate("krum", {user: torch.tensor([point, 0.0]) for user, point in points.items()}, attackers=1)
    assert [user for user, weight in made.decisions.items() if weight] == [1]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_geometric_median_takes_as_many_steps_as_asked_for(steps):
    updates = draw(0)
    point = np.zeros(SIZE)
    for _ in range(steps):
        closeness = [1 / max(0.5, np.sqrt(naive.squared(point, vector))) for vector in listed(updates)]
        point = sum(w * v for w, v in zip(closeness, listed(updates), strict=True)) / sum(closeness)
    made = aggregate("geometric_median", updates, attackers=F, steps=steps, smoothing=0.5)
    np.testing.assert_allclose(made.shared, point)
    np.testing.assert_allclose([made.decisions[user] for user in sorted(updates)], closeness / np.sum(closeness))


@pytest.mark.parametrize("options", [{}, {"radius": 1.0}, {"radius": 0.7, "steps": 4}])
def test_centred_clipping_goes_on_from_the_mean_of_the_round_before(options):
    first = aggregate("centred_clipping", draw(0), attackers=F, **options)
    kept = first.state["centre"].clone()
    centre = naive.centred_clipping(listed(draw(0)), F, 0.0, **options)
    np.testing.assert_allclose(first.shared, centre)
    np.testing.assert_allclose(sum(first.decisions[user] * update for user, update in draw(0).items()), centre)
    second = aggregate("centred_clipping", draw(1), state=first.state, attackers=F, **options)
    np.testing.assert_allclose(second.shared, naive.centred_clipping(listed(draw(1)), F, centre, **options))
    assert torch.equal(first.state["centre"], kept) and not torch.equal(second.state["centre"], kept)


def test_monna_compares_with_the_trusted_user_where_it_takes_part():
    updates = draw(0)
    for user in updates:
        made = aggregate("monna", updates, attackers=F, trusted=user)
        np.testing.assert_allclose(made.shared, naive.nearest_to(user - 1, listed(updates), F))
        assert made.decisions[user] > 0
    made = aggregate("monna", updates, attackers=F, trusted=N + 1)
    np.testing.assert_allclose(made.shared, naive.monna(listed(updates), F))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("method", [name for name in ROBUST if name not in CHOOSING])
def test_what_comes_before_is_done_in_its_order(method, seed):
    updates = draw(seed)
    # Mixed vectors are often equal: methods that choose among them may choose any. All methods share the code.
    mixed = naive.nearest_neighbour_mixing(naive.clipping(listed(updates), 2.0), F)
    before = ["clipping", "nearest_neighbour_mixing"]
    made = aggregate(method, updates, before=before, bound=2, **EXACT[method])
    np.testing.assert_allclose(made.shared, getattr(naive, method)(mixed, F), rtol=1e-4, atol=1e-5)
    clipped = naive.clipping(naive.nearest_neighbour_mixing(listed(updates), F))
    made = aggregate(method, updates, before=before[::-1], **EXACT[method])
    np.testing.assert_allclose(made.shared, getattr(naive, method)(clipped, F), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bound", [None, 1.5])
def test_norm_clipping_clips_and_its_noise_has_the_deviation_asked_for(bound):
    updates, weights = draw(0), weights_of(draw(0))
    made = aggregate("norm_clipping", updates, weights=weights, bound=bound, noise=0)
    clipped = naive.clipping(listed(updates), bound)
    expected = sum(weights[user] * each for user, each in zip(sorted(updates), clipped, strict=True))
    np.testing.assert_allclose(made.shared, expected)
    still = {user: torch.zeros(20_000) for user in (1, 2, 3)}
    noise = aggregate("norm_clipping", still, noise=0.3).shared
    assert noise.std().item() == pytest.approx(0.3, rel=0.02) and abs(noise.mean()) < 0.01
    assert torch.equal(noise, aggregate("norm_clipping", still, noise=0.3).shared)
    assert not torch.equal(noise, aggregate("norm_clipping", still, noise=0.3, seed=1).shared)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 12])
@pytest.mark.parametrize("seed", SEEDS)
def test_flame_takes_the_mean_of_the_clipped_majority(seed, n):
    updates, shared = draw(seed, n), shared_of(seed)
    made = aggregate("flame", updates, shared, weights_of(updates), noise=0)
    total = sum(weights_of(updates).values())
    expected = shared.numpy() + total * naive.flame(shared.numpy(), listed(updates))
    np.testing.assert_allclose(made.shared, expected)
    accepted = naive.flame_cluster([shared.numpy() + vector for vector in listed(updates)])
    assert [user - 1 for user, weight in sorted(made.decisions.items()) if weight] == accepted
    noisy = aggregate("flame", updates, shared, weights_of(updates), noise=0.5)
    norms = [np.sqrt((vector**2).sum()) for vector in listed(updates)]
    noise = np.random.default_rng(0).normal(0, 0.5 * np.median(norms), SIZE)
    np.testing.assert_allclose(noisy.shared, expected + noise)


@pytest.mark.parametrize("confidence", [1, 0.2])
def test_foolsgold_weighs_by_what_users_sent_in_all_rounds(confidence):
    state, histories = {}, {}
    for seed in SEEDS:
        updates = {user: update for user, update in draw(seed).items() if (user + seed) % 3}
        histories |= {user: histories.get(user, 0) + update for user, update in updates.items()}
        made = aggregate("foolsgold", updates, weights=weights_of(updates), state=state, confidence=confidence)
        state = Federation.from_tensors(Federation(made.shared, aggregation=made.state).tensors()).aggregation
        weights = naive.foolsgold([histories[user].numpy() for user in sorted(updates)], confidence)
        expected = {user: weights_of(updates)[user] * w for user, w in zip(sorted(updates), weights, strict=True)}
        assert made.decisions == pytest.approx(expected)
        np.testing.assert_allclose(made.shared, sum(expected[user] * updates[user] for user in updates))
    assert set(state) == {f"history-{user}" for user in range(1, N + 1)}


def test_foolsgold_rejects_sybils_and_pardons_the_honest():
    random = np.random.default_rng(0)
    common, honest = random.normal(size=50), {user: random.normal(size=50) for user in (1, 2, 3)}
    sybils = {user: common + 0.01 * random.normal(size=50) for user in (4, 5)}
    made = aggregate("foolsgold", {user: torch.from_numpy(each) for user, each in {**honest, **sybils}.items()})
    assert {user for user, weight in made.decisions.items() if weight == 0} == {4, 5}
    assert all(made.decisions[user] == pytest.approx(1 / 5) for user in honest)


LINEAR = [name for name in EXACT if name not in ("median", "trimmed_mean")]


ORDERS = [[], ["nearest_neighbour_mixing", "clipping"], ["clipping", "nearest_neighbour_mixing"]]


@pytest.mark.parametrize("before", ORDERS)
@pytest.mark.parametrize("method", EXACT)
def test_decisions_are_the_weights_of_the_updates(method, before):
    updates, weights = draw(0), weights_of(draw(0))
    before = {"before": before} if method in ROBUST else {}
    made = aggregate(method, updates, weights=weights, **before, **EXACT[method])
    assert made.decisions.keys() == updates.keys() and min(made.decisions.values()) >= 0
    if method in LINEAR:
        np.testing.assert_allclose(made.shared, sum(made.decisions[user] * updates[user] for user in updates))
    elif before == {"before": []}:
        assert sum(made.decisions.values()) == pytest.approx(sum(weights.values()))


def test_the_share_in_a_median_is_that_of_the_coordinates():
    rows = {1: [0.0, 5.0, 1.0, 1.0], 2: [1.0, 0.0, 2.0, 1.0], 3: [9.0, 9.0, 9.0, 9.0]}
    for method in ("median", "trimmed_mean"):
        made = aggregate(method, {user: torch.tensor(row) for user, row in rows.items()})
        assert made.shared.tolist() == [1, 5, 2, 1]
        assert made.decisions == pytest.approx({1: 0.25 + 0.125, 2: 0.5 + 0.125, 3: 0})


@pytest.mark.parametrize("method", EXACT)
def test_neither_the_order_nor_the_numbers_of_users_matter(method):
    updates, weights, shared = draw(0), weights_of(draw(0)), shared_of(0)
    made = aggregate(method, updates, shared, weights, **EXACT[method])
    again = aggregate(method, dict(sorted(updates.items())), shared, weights, **EXACT[method])
    assert torch.equal(made.shared, again.shared) and made.decisions == again.decisions
    renamed = {user: 3 * user % 10 for user in updates}
    other = aggregate(
        method,
        {renamed[user]: update for user, update in updates.items()},
        shared,
        {renamed[user]: weight for user, weight in weights.items()},
        **EXACT[method],
    )
    np.testing.assert_allclose(other.shared, made.shared, rtol=1e-9)
    assert other.decisions == pytest.approx({renamed[user]: weight for user, weight in made.decisions.items()})


@pytest.mark.parametrize("method", [name for name in EXACT if name != "foolsgold"])
def test_equal_updates_move_the_model_as_their_weighted_sum_does(method):
    update, shared = draw(0)[1], shared_of(0)
    updates = dict.fromkeys(range(1, N + 1), update)
    made = aggregate(method, updates, shared, weights_of(updates), **EXACT[method])
    expected = aggregate("weighted_sum", updates, shared, weights_of(updates)).shared
    np.testing.assert_allclose(made.shared, expected, rtol=1e-9)


@pytest.mark.parametrize("method", [name for name in EXACT if name != "foolsgold"])
def test_one_update_far_off_is_rejected_or_has_little_effect(method):
    updates, shared = draw(0), shared_of(0)
    benign = shared + torch.stack([updates[user] for user in updates if user != 3]).mean(0)
    updates[3] = 1e6 * torch.ones(SIZE, dtype=torch.float64) * torch.tensor([1, -1] * (SIZE // 2))
    options = EXACT[method] | ({"attackers": 1} if method in ROBUST else {})
    made = aggregate(method, updates, shared, **options)
    assert (made.shared - benign).norm() < 3
    assert made.decisions[3] < 1e-5
    if method in CHOOSING:
        assert made.decisions[3] == 0
    plain = aggregate("weighted_sum", updates, shared)
    assert (plain.shared - benign).norm() > 1e5


@pytest.mark.parametrize("method", EXACT)
def test_updates_in_single_precision_make_a_model_in_single_precision_and_stay_as_they_are(method):
    updates = {user: update.float() for user, update in draw(0).items()}
    copies = {user: update.clone() for user, update in updates.items()}
    before = {"before": ["clipping"]} if method in ROBUST else {}
    made = aggregate(method, updates, torch.zeros(SIZE), **before, **EXACT[method])
    assert made.shared.dtype == torch.float32
    assert all(torch.equal(updates[user], copies[user]) for user in updates)


@pytest.mark.parametrize("method", EXACT)
def test_an_update_of_no_finite_numbers_is_one_line(method):
    updates = draw(0) | {7: torch.full((SIZE,), torch.nan)}
    with pytest.raises(FedmetaError, match=r"^the update of user 7 has NaN or infinity, because its training diverged"):
        aggregate(method, updates, **EXACT[method])
