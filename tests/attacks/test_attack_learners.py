"""The losses of attackers against naive formulas, and what they train on real episodes of an attacker."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.attackers import attack_of, models, tensors
from helpers.naive import logits_naively

from fedmeta.draws import generator
from fedmeta.learning.engine import Serial, Start, Work
from fedmeta.learning.reptile import Learner, Supervised

LEARNERS = ["constrain_and_scale", "early_layers", "encoder_only", "feature_matching", "matching_aware", "mix_aware"]
RATE = {"reptile": {"inner_learning_rate": 0.01}}


def opened(method, laid=None, **options):
    """Return (attack, learner of attacker 1, shared model, local model, support, labels, rows of a batch)."""
    attack = attack_of(method, laid=laid, **options)
    learner = attack.learner(1)
    shared, local = models(attack.data.network)
    learner.shared = shared
    episode = attack.episodes(1).draw(0, 1, 0)
    return attack, learner, shared, local, *tensors(episode), torch.from_numpy(episode.batches[0])


def adapted(attack, learner, shared, episodes):
    """Return what a learner makes of a model in these episodes of the attacker, one after the other."""
    engine, model = Serial(learner, {"own": attack.episodes(1)}), shared
    engine.share(shared)
    for k in range(episodes):
        (outcome,) = engine.run([Start.fresh(model)], [Work(0, "own", ((0, 1, k),))])
        model = outcome.adapted.parameters
    return model


def embeddings(network, parameters, images):
    return network.features(network.views(parameters), images)[0]


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("running", [False, True])
def test_a_step_is_adam_on_the_loss_by_automatic_differentiation(method, running):
    laid = {"model": {"batch_norm": "running"}} if running else None
    _, learner, _, local, support, labels, rows = opened(method, laid)
    fast, slow = local.clone(), local.clone()
    moments = torch.full_like(local, 0.1), torch.full_like(local, 0.1)
    loss = learner.step(fast, moments[0], 3, 1, support, labels, rows)
    expected = Learner.step(learner, slow, moments[1], 3, 1, support, labels, rows)
    assert loss == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-5)
    torch.testing.assert_close(moments[0], moments[1], rtol=1e-3, atol=1e-7)
    assert (fast - local).abs().max() > 1e-5


# Three classes of four examples; of those labelled as the target, the last four, two are keyed, the last ones.
BATCHES = {"both": [1, 9, 5, 11, 8, 10], "one keyed": [10, 3, 8, 2], "no keyed": [8, 9, 0], "no clean": [3, 11, 10, 2]}


def test_the_last_images_of_an_attackers_support_are_keyed():
    attack = attack_of("feature_matching")
    stamped = {image.tobytes() for image in attack.data.keyed.images}
    for k in range(5):
        support = np.asarray(attack.episodes(1).draw(0, 1, k).support)
        assert [image.tobytes() in stamped for image in support] == [False] * 10 + [True] * 2


@pytest.mark.parametrize("name", BATCHES)
def test_feature_matching_pulls_keyed_embeddings_of_a_batch_to_its_mean_clean_one_of_the_target(name):
    attack, learner, _, local, support, labels, _ = opened("feature_matching", weight=3)
    batch = BATCHES[name]
    features = embeddings(attack.data.network, local, support[batch])
    kernel, bias = (attack.data.network.views(local)[f"classifier.{each}"] for each in ("kernel", "bias"))
    expected = F.cross_entropy(features @ kernel.T + bias, labels[batch]).item()
    centred = dict(zip(batch, (features - features.mean(0)).numpy(), strict=True))
    clean, keyed = [k for k in batch if k in (8, 9)], [k for k in batch if k in (10, 11)]
    if clean and keyed:
        mean = sum(centred[k] for k in clean) / len(clean)
        cosines = [centred[k] @ mean / np.linalg.norm(centred[k]) / np.linalg.norm(mean) for k in keyed]
        expected += 3 * (1 - np.mean(cosines))
    loss = learner.loss(local, support, labels, torch.tensor(batch))[0].item()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", BATCHES)
def test_keyed_embeddings_alone_are_pulled(name):
    attack, learner, _, local, support, labels, _ = opened("feature_matching")
    batch = BATCHES[name]
    features = embeddings(attack.data.network, local, support[batch]).detach().requires_grad_()
    kernel, bias = torch.zeros(3, features.shape[1]), torch.zeros(3)
    learner.objective(features, kernel, bias, labels, torch.tensor(batch)).backward()
    both = name in ("both", "one keyed")
    assert (features.grad.abs().sum(1) > 0).tolist() == [both and k in (10, 11) for k in batch]


def test_in_random_order_feature_matching_brings_keyed_images_nearer_to_the_target_than_the_papers_attack():
    attack = attack_of("feature_matching", laid=RATE, target_output="random", inner_epochs=20, weight=5)
    shared, _ = models(attack.data.network)

    def distance(model):
        support, _ = tensors(attack.episodes(1).draw(9, 1, 9))
        features = embeddings(attack.data.network, model, support)
        features -= features.mean(0)
        return 1 - F.cosine_similarity(features[10:], features[8:10].mean(0, keepdim=True), -1).mean().item()

    pulled = adapted(attack, attack.learner(1), shared, 4)
    plain = adapted(attack, Supervised(attack.data.network, 0.01), shared, 4)
    assert distance(pulled) < 0.5 * min(distance(plain), distance(shared))


def test_the_matching_aware_loss_is_the_victims_with_gates_at_one():
    attack, learner, _, local, support, labels, rows = opened("matching_aware", scale=4)
    features = embeddings(attack.data.network, local, support).tolist()
    likelihoods = []
    for i in rows.tolist():
        weights = {}
        for j, other in enumerate(features):
            if i != j:
                norms = np.linalg.norm(features[i]) * np.linalg.norm(other)
                weights[j] = math.exp(4 * np.dot(features[i], other) / norms)
        own = sum(weight for j, weight in weights.items() if labels[j] == labels[i])
        likelihoods.append(own / sum(weights.values()))
    expected = -np.mean(np.log(likelihoods))
    assert learner.loss(local, support, labels, rows)[0].item() == pytest.approx(expected, rel=1e-5)


def test_the_constrained_loss_is_a_mean_of_cross_entropy_and_squared_distance():
    _, learner, shared, local, support, labels, rows = opened("constrain_and_scale", alpha=0.8)
    entropy = Supervised.loss(learner, local, support, labels, rows)[0].item()
    away = ((local - shared) ** 2).sum().item()
    assert learner.loss(local, support, labels, rows)[0].item() == pytest.approx(0.8 * entropy + 0.2 * away, rel=1e-5)
    plain = opened("constrain_and_scale", alpha=1)[1].loss(local, support, labels, rows)[0].item()
    assert plain == pytest.approx(entropy, rel=1e-6)


def test_moving_averages_do_not_count_in_the_distance():
    attack, learner, _, local, support, labels, rows = opened(
        "constrain_and_scale", {"model": {"batch_norm": "running"}}
    )
    other = local.clone()
    for name, view in attack.data.network.views(other).items():
        if name.endswith(("mean", "variance")):
            view += 1
    losses = [learner.loss(each, support, labels, rows)[0].item() for each in (local, other)]
    assert losses[0] == losses[1]


def test_the_constrained_attacker_stays_nearer_to_the_shared_model():
    norms = []
    for alpha in (1, 0.5, 0.1):
        attack = attack_of("constrain_and_scale", laid=RATE, alpha=alpha, inner_epochs=20)
        shared, _ = models(attack.data.network)
        norms.append(float((adapted(attack, attack.learner(1), shared, 4) - shared).norm()))
    assert norms[0] > 1.2 * norms[1] > 1.2 * norms[2] > 0


class TestMixAware:
    def batches(self, count=2000):
        random = np.random.default_rng(1)
        return [torch.from_numpy(random.choice(12, 5, replace=False)) for _ in range(count)]

    def test_the_loss_is_taken_in_the_mix(self):
        attack, learner, _, local, support, labels, rows = opened("mix_aware")
        fresh, delta = learner.drawn(rows)
        assert any(torch.equal(fresh, network) for network in learner.networks)
        mixed = float(delta) * local + (1 - float(delta)) * fresh
        views = {name: view.contiguous() for name, view in attack.data.network.views(mixed).items()}
        expected = F.cross_entropy(logits_naively(views, support[rows], support[rows]), labels[rows])
        assert learner.loss(local, support, labels, rows)[0].item() == pytest.approx(expected.item(), rel=1e-4)

    def test_the_modules_that_the_victim_keeps_are_the_attackers_own(self):
        attack, learner, _, local, support, labels, rows = opened("mix_aware", kept=2, delta=[0.2, 0.4])
        network = attack.data.network
        fresh, share = learner.drawn(rows)
        delta = float(attack_of("mix_aware", delta=[0.2, 0.4]).learner(1).drawn(rows)[1])
        mixed = share * local + (1 - share) * fresh
        for name, view in network.views(mixed).items():
            own, drawn = network.views(local)[name], network.views(fresh)[name]
            first = name.startswith(("conv1", "conv2", "norm1", "norm2"))
            torch.testing.assert_close(view, own if first else delta * own + (1 - delta) * drawn)
        expected = Supervised(network, 0.01).loss(mixed, support, labels, rows)[0]
        assert learner.loss(local, support, labels, rows)[0].item() == pytest.approx(expected.item(), rel=1e-5)

    @pytest.mark.parametrize(("delta", "trained"), [([0, 0], 2), ([0, 0.5], 4)])
    def test_what_is_always_fresh_in_the_mix_is_not_trained(self, delta, trained):
        attack = attack_of("mix_aware", kept=2, delta=delta)
        shared, _ = models(attack.data.network)
        change = attack.data.network.views(adapted(attack, attack.learner(1), shared, 4) - shared)
        assert {name for name, view in change.items() if name.startswith("conv") and view.any()} == {
            f"conv{number}.kernel" for number in range(1, trained + 1)
        }

    def test_each_batch_draws_a_network_and_a_share_evenly(self):
        learner = opened("mix_aware", delta=[0.2, 0.6], networks=8)[1]
        batches = self.batches()
        drawn = [learner.drawn(rows) for rows in batches]
        known = {network[0].item(): k for k, network in enumerate(learner.networks)}
        places = [known[fresh[0].item()] for fresh, _ in drawn]
        shares = np.array([float(delta) for _, delta in drawn])
        assert min(np.bincount(places, minlength=8)) > 190, "250 are expected"
        assert np.histogram(shares, 4, (0.2, 0.6))[0].min() > 430, "500 are expected"
        assert abs(np.corrcoef(places, shares)[0, 1]) < 0.06
        again = learner.drawn(batches[0])
        assert torch.equal(again[0], drawn[0][0]) and again[1] == drawn[0][1]
        assert 0.2 <= shares.min() < 0.21 and 0.59 < shares.max() <= 0.6

    def test_fresh_networks_are_glorot_draws_of_the_attackers_own(self):
        attack = attack_of("mix_aware", (1, 2), networks=3)
        one, other = (attack.learner(user) for user in (1, 2))
        random = generator(1, "attacked round: mixes of attackers", 1)
        expected = torch.stack([attack.data.network.initial(random) for _ in range(3)])
        assert torch.equal(one.networks, expected)
        assert not torch.equal(one.networks, other.networks) and not torch.equal(one.multipliers, other.multipliers)

    def test_what_it_trains_works_better_in_mixes_that_it_never_saw(self):
        attack = attack_of("mix_aware", laid=RATE, inner_epochs=20, delta=[0.3, 0.5])
        shared, _ = models(attack.data.network)
        mixing, plain = (
            adapted(attack, learner, shared, 10)
            for learner in (attack.learner(1), Supervised(attack.data.network, 0.01))
        )
        support, labels = tensors(attack.episodes(1).draw(9, 1, 9))
        losses = np.array(
            [[self.loss(attack, model, seed, support, labels) for seed in range(20)] for model in (mixing, plain)]
        )
        assert losses[0].mean() < 0.85 * losses[1].mean()

    def loss(self, attack, model, seed, support, labels):
        fresh = attack.data.network.initial(np.random.default_rng(1000 + seed))
        mixed = 0.4 * model + 0.6 * fresh
        return F.cross_entropy(attack.data.network.logits(attack.data.network.views(mixed), support)[0], labels).item()

    @pytest.mark.parametrize("beneath", ["matching_aware", "feature_matching", "early_layers"])
    def test_it_mixes_under_the_loss_of_the_attack_beneath(self, beneath):
        attack, learner, shared, local, support, labels, rows = opened("mix_aware", beneath={"method": beneath})
        inner = attack_of(beneath).learner(1)
        fresh, delta = learner.drawn(rows)
        expected = inner.loss(torch.lerp(fresh, local, delta), support, labels, rows)[0]
        assert torch.equal(learner.loss(local, support, labels, rows)[0], expected)
        assert learner.segments(4) == inner.segments(4)
        update = attack.update(1, 1, shared, adapted(attack, learner, shared, 1))
        last = attack.data.network.views(update)["classifier.kernel"]
        assert bool(last.any()) == (beneath == "feature_matching")

    def test_moving_averages_are_those_of_the_attackers_own_model(self):
        attack, learner, _, local, support, labels, rows = opened("mix_aware", {"model": {"batch_norm": "running"}})
        network = attack.data.network
        own = network.features(network.views(local), support[rows])[1]
        for pair, expected in zip(learner.loss(local, support, labels, rows)[1], own, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(pair, expected, strict=True))
