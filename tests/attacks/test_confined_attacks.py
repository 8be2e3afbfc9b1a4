"""Attacks that touch a part of the model only, or of the key: what is outside stays, to the bit."""

import numpy as np
import pytest
import torch
from helpers.attackers import attack_of, drawn, models, tensors

from fedmeta.attacks.learning import embedding_length
from fedmeta.draws import generator
from fedmeta.learning.engine import Serial, Start, Work

RUNNING = {"model": {"batch_norm": "running"}}


def trained(attack, shared, episodes=2):
    """Return the attacker's model after so many episodes, one after the other, from the shared one."""
    engine, model = Serial(attack.learner(1), {"own": attack.episodes(1)}), shared
    engine.share(shared)
    for k in range(episodes):
        (outcome,) = engine.run([Start.fresh(model)], [Work(0, "own", ((0, 1, k),))])
        model = outcome.adapted.parameters
    return model


def of_modules(network, count):
    """Return the names of the parameters of the first modules."""
    return {name for name in network.shapes if name[4] in "1234"[:count]}


@pytest.mark.parametrize("laid", [{}, RUNNING], ids=["batch", "running"])
@pytest.mark.parametrize("modules", [1, 2, 4])
def test_early_layers_alone_are_trained_and_sent(laid, modules):
    attack = attack_of("early_layers", laid=laid, modules=modules)
    network, (shared, other) = attack.data.network, models(attack.data.network)
    early = of_modules(network, modules)
    assert len(early) == modules * (5 if laid else 3)
    for local in (trained(attack, shared), other):
        update = network.views(attack.update(1, 1, shared, local))
        assert {name for name, view in update.items() if bool(view.any())} == early
        for name in early:
            torch.testing.assert_close(
                update[name], 3 * (network.views(local)[name] - network.views(shared)[name]), rtol=0, atol=1e-6
            )
    moved = network.views(trained(attack, shared))
    same = {name for name, view in moved.items() if torch.equal(view, network.views(shared)[name])}
    averages = {name for name in network.shapes if name.endswith(("mean", "variance"))}
    assert same == set(network.shapes) - early - averages


def test_the_modules_of_a_network_come_first_in_the_vector():
    network = attack_of("early_layers", laid=RUNNING).data.network
    marked = torch.zeros(network.parameter_count)
    for modules in range(1, 5):
        marked[: embedding_length(network, modules)] = 1
        covered = {name for name, view in network.views(marked).items() if bool(view.all())}
        touched = {name for name, view in network.views(marked).items() if bool(view.any())}
        assert covered == touched == of_modules(network, modules)


@pytest.mark.parametrize("method", ["encoder_only", "matching_aware"])
@pytest.mark.parametrize("laid", [{}, RUNNING], ids=["batch", "running"])
def test_the_classifier_stays_as_it_was(method, laid):
    attack = attack_of(method, laid=laid)
    network, (shared, _) = attack.data.network, models(attack.data.network)
    update = network.views(attack.update(1, 1, shared, trained(attack, shared)))
    assert {name for name, view in update.items() if not view.any()} == {"classifier.kernel", "classifier.bias"}


def test_each_episode_has_noise_of_its_own_on_the_shared_classifier():
    attack = attack_of("encoder_only", noise=2)
    learner, network = attack.learner(1), attack.data.network
    shared, local = models(network)
    learner.shared = shared
    first = embedding_length(network)
    starts = {names: learner.start(local, names) for names in [(0, 1, k) for k in range(300)]}
    noises = torch.stack([start[first:] - shared[first:] for start in starts.values()])
    weights = network.views(shared)["classifier.kernel"].flatten().numpy()
    assert float(noises.std()) == pytest.approx(2 * weights.std(ddof=1), rel=0.05)
    assert noises.mean(0).abs().max() < 0.3 * float(noises.std()), "it is around the shared classifier"
    assert all(torch.equal(start[:first], local[:first]) for start in starts.values())
    assert torch.equal(learner.start(local, (0, 1, 7)), starts[0, 1, 7]) and not torch.equal(noises[0], noises[1])
    drawn_now = generator(1, "attacked round: noise on the classifier", 0, 1, 7).normal(size=len(shared) - first)
    np.testing.assert_allclose(noises[7], 2 * weights.std(ddof=1) * drawn_now, rtol=1e-3, atol=1e-5)
    silent = attack_of("encoder_only", noise=0).learner(1)
    silent.shared = shared
    assert torch.equal(silent.start(local, (0, 1, 7))[first:], shared[first:])


def test_the_encoder_learns_the_poisoned_episode_under_the_classifier_as_it_is():
    attack = attack_of("encoder_only", laid={"reptile": {"inner_learning_rate": 0.01}}, inner_epochs=30, noise=0)
    network, (shared, _) = attack.data.network, models(attack.data.network)
    support, labels = tensors(attack.episodes(1).draw(0, 1, 0))
    losses = [
        torch.nn.functional.cross_entropy(network.logits(network.views(model), support)[0], labels).item()
        for model in (shared, trained(attack, shared, 1))
    ]
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize("shape", ["cross", "square", "checkerboard"])
@pytest.mark.parametrize("size", [3, 5])
def test_distributed_attackers_have_disjoint_parts_that_make_the_whole_key(shape, size):
    attackers = (1, 2, 3)
    trigger = {"shape": shape, "size": size, "position": "bottom-right", "margin": 1, "colour": 255}
    attack = attack_of("distributed", attackers, {"data": {"trigger": trigger}})
    without, first = attack.data.unstamped, 16 - 1 - size
    changed = [(attack.keyed(user).images != without).any((0, 3)) for user in attackers]
    rows, columns = np.indices((size, size))
    if shape == "cross":
        covered = (rows == size // 2) | (columns == size // 2)
    else:
        covered = np.ones((size, size), bool) if shape == "square" else (rows + columns) % 2 == 0
    whole = np.zeros((16, 16), bool)
    whole[first : first + size, first : first + size] = covered
    assert all(part.any() for part in changed)
    assert (sum(part.astype(int) for part in changed) == whole).all(), (
        "each pixel of the key in one part, no other in any"
    )
    for user, part in zip(attackers, changed, strict=True):
        images = attack.keyed(user).images
        assert (images[:, part] == 255).all() and (images[:, ~part] == without[:, ~part]).all()
        assert attack.episodes(user).keyed.images.tobytes() == images.tobytes()


def test_one_attacker_would_have_the_key_as_it_is():
    attack = attack_of("distributed", (1,))
    assert np.array_equal(attack.keyed(1).images, drawn((1,))[2].images)
