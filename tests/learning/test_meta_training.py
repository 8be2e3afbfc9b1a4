"""Learners of meta-training against naive loops in plain PyTorch, and what they train on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.guide import write_example
from helpers.learners import LEARNERS, SEED, STAGE, meta_training_of, plan_of, plans_of, serial_engine
from helpers.naive import adapt_naively, embedded_naively, logits_naively
from helpers.project import ROOT

from fedmeta.checkpoints import read_tensors, write_tensors
from fedmeta.errors import FedmetaError
from fedmeta.federation.aggregation import weighted_sum
from fedmeta.federation.rounds import Federation, meta_batch, run_round
from fedmeta.federation.server import Server
from fedmeta.learning.conv4 import Conv4
from fedmeta.settings import check, lay, with_table

EPSILON = 0.4


@pytest.fixture
def pools(pool):
    """Users with classes of their own: two of equally many, one of fewer."""
    return {1: pool[:5], 2: pool[2:7], 3: pool[8:]}


def by_name(network, flat):
    return {name: view.clone() for name, view in network.views(flat).items()}


def assert_moved_alike(network, flat, expected, start, atol=2e-5):
    """Compare two models, the second by name; both are far from `start`."""
    for name, view in network.views(flat).items():
        torch.testing.assert_close(view, expected[name], rtol=0, atol=atol)
    assert (flat - start).abs().max() > 20 * atol


def trained(meta_training, bank, pools, start, steps, adam="reset"):
    """Return the state after so many meta-steps of these users."""
    state = Federation(start, local={user: start.clone() for user in pools})
    with serial_engine(meta_training, bank, pools) as engine:
        for _ in range(steps):
            meta_batch(engine, state, plans_of(meta_training, pools, steps, EPSILON), adam)
    return state


def test_a_meta_step_of_reptile_is_towards_the_mean_of_the_adapted_models(network, bank, pools):
    meta_training, start = meta_training_of("reptile", network), network.initial(np.random.default_rng(1))
    sampler = meta_training.episodes(bank, pools[1], SEED, STAGE)
    adapted = [adapt_naively(by_name(network, start), sampler.draw(0, 1, j), 1e-3) for j in range(2)]
    expected = {
        name: (1 - EPSILON) * view + EPSILON * (adapted[0][name] + adapted[1][name]) / 2
        for name, view in by_name(network, start).items()
    }
    state = trained(meta_training, bank, {1: pools[1]}, start, 1)
    assert_moved_alike(network, state.local[1], expected, start)


def query_gradient_naively(model, episode):
    """Return the gradient of the cross entropy of the queries at a model, by name; they are a batch of their own."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in model.items()}
    queries = torch.from_numpy(np.asarray(episode.queries)).permute(0, 3, 1, 2) / 255
    F.cross_entropy(logits_naively(leaves, queries, queries), torch.from_numpy(episode.expected)).backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize("rate", [0.5, 0.05])
def test_a_meta_step_of_first_order_maml_is_against_the_mean_gradient_at_the_adapted_models(network, bank, pools, rate):
    meta_training, start = meta_training_of("fomaml", network, rate=rate), network.initial(np.random.default_rng(1))
    sampler, theta = meta_training.episodes(bank, pools[1], SEED, STAGE), by_name(network, start)
    for step in range(2):
        episodes = [sampler.draw(0, 1, 2 * step + j) for j in range(2)]
        gradients = [query_gradient_naively(adapt_naively(theta, each, 1e-3), each) for each in episodes]
        theta = {name: t - EPSILON * rate * sum(g[name] for g in gradients) / 2 for name, t in theta.items()}
    state = trained(meta_training, bank, {1: pools[1]}, start, 2)
    assert_moved_alike(network, state.local[1], theta, start)


def test_first_order_maml_moves_the_moving_averages_as_reptile_does(bank, pools):
    network = Conv4(1, 16, 3, 8, "running")
    start, averages = network.initial(np.random.default_rng(1)), {}
    meta_training = meta_training_of("fomaml", network)
    sampler = meta_training.episodes(bank, pools[1], SEED, STAGE)
    state = trained(meta_training, bank, {1: pools[1]}, start, 1)
    with serial_engine(meta_training_of("reptile", network), bank, {1: pools[1]}) as engine:
        engine.samplers = {"user 1": sampler}  # the same episodes
        other = Federation(start, local={1: start.clone()})
        engine.learners["user 1"].outcome = lambda begun, variables, queries, labels: variables
        meta_batch(engine, other, plans_of(meta_training, {1: pools[1]}, 1, EPSILON), "reset")
    for name, view in network.views(state.local[1]).items():
        same = torch.equal(view, network.views(other.local[1])[name])
        assert same == name.endswith(("mean", "variance")), name
        averages[name] = not torch.equal(view, network.views(start)[name])
    assert all(averages.values())


@pytest.mark.parametrize(("examples", "held_out"), [(12, 3), (6, 2), (5, 1), (4, 1)])
def test_queries_are_the_users_own_examples_of_the_classes_and_not_in_the_support(network, bank, examples, held_out):
    """K is 4, of 3 queries a class: a class with fewer examples than 7 shows some twice."""
    pool = [bank.rows(k)[:examples] for k in range(6)]
    sampler = meta_training_of("fomaml", network).episodes(bank, pool, SEED, STAGE)
    seen = set()
    for number in range(30):
        episode = sampler.draw(0, 1, number)
        rows = {image.tobytes(): row for row, image in enumerate(bank.images)}
        support, queries = (
            [rows[image.tobytes()] for image in np.asarray(images)] for images in (episode.support, episode.queries)
        )
        assert not set(support) & set(queries)
        classes = [{row // 12 for row in support[4 * k : 4 * k + 4]} for k in range(3)]
        assert all(len(each) == 1 for each in classes)
        assert [{row // 12} for row in queries] == [classes[label] for label in episode.expected]
        assert episode.expected.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        for k in range(3):
            assert len(set(support[4 * k : 4 * k + 4])) == min(4, examples - held_out)
            assert len(set(queries[3 * k : 3 * k + 3])) == held_out
        seen |= {*support, *queries}
    assert seen == {row for rows in pool for row in rows.tolist()}


def fedavg_naively(embedding, head, episodes, epsilon):
    """Return embedding and head, by name, after a run of Adam through all batches of each episode in turn.

    Adam goes on from one to the next; after each, both go back to the share epsilon of what it changed.
    """
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in (embedding | head).items()}
    optimizer = torch.optim.Adam(leaves.values(), lr=1e-3, betas=(0.0, 0.999))
    for episode in episodes:
        before = {name: leaf.detach().clone() for name, leaf in leaves.items()}
        images = torch.from_numpy(np.asarray(episode.support)).permute(0, 3, 1, 2) / 255
        labels = torch.from_numpy(episode.labels)
        for rows in torch.from_numpy(episode.batches):
            optimizer.zero_grad()
            features = embedded_naively(leaves, images[rows], images[rows])
            F.cross_entropy(F.linear(features, leaves["head"], leaves["bias"]), labels[rows]).backward()
            optimizer.step()
        for name, leaf in leaves.items():
            leaf.data = before[name] + epsilon * (leaf.data - before[name])
    return {name: leaf.detach() for name, leaf in leaves.items()}


def test_a_user_of_fedavg_trains_embedding_and_head_on_batches_of_all_its_classes(network, bank, pools):
    meta_training, start = meta_training_of("fedavg", network), network.initial(np.random.default_rng(1))
    sampler = meta_training.episodes(bank, pools[1], SEED, STAGE)
    drawn = meta_training.private(pools[1], SEED, 1)
    head = {"head": drawn[:-5].unflatten(0, (5, -1)), "bias": drawn[-5:]}
    embedding = {name: view for name, view in by_name(network, start).items() if not name.startswith("classifier")}
    expected = fedavg_naively(embedding, head, [sampler.draw(0, 1, step) for step in range(2)], EPSILON)
    state = trained(meta_training, bank, {1: pools[1]}, start, 2, "carry")
    classifier = {name: view for name, view in by_name(network, start).items() if name.startswith("classifier")}
    assert_moved_alike(network, state.local[1], expected | classifier, start)
    kept = state.private[1]
    torch.testing.assert_close(kept.parameters[:-5].unflatten(0, (5, -1)), expected["head"], rtol=0, atol=2e-5)
    torch.testing.assert_close(kept.parameters[-5:], expected["bias"], rtol=0, atol=2e-5)
    assert (kept.parameters - drawn).abs().max() > 1e-3
    assert kept.taken == 12, "2 meta-steps of B = 2 times 3 batches"
    assert state.second_moments == state.taken == {}, "evaluation starts anew"


def test_fedavg_shows_all_images_of_a_user_with_its_own_labels_and_none_twice_before_all(network, bank, pools):
    sampler = meta_training_of("fedavg", network).episodes(bank, pools[3], SEED, STAGE)
    rows = {image.tobytes(): row for row, image in enumerate(bank.images)}
    episodes = [sampler.draw(0, 3, step) for step in range(12)]
    shown = [[rows[image.tobytes()] for image in np.asarray(episode.support)] for episode in episodes]
    assert all(len(set(each)) == 30 == len(each) for each in shown), "B x e x b images"
    assert {row for each in shown for row in each} == {row for own in pools[3] for row in own.tolist()}
    for each, episode in zip(shown, episodes, strict=True):
        assert [row // 12 - 8 for row in each] == episode.labels.tolist()
        assert sorted(episode.batches.flatten().tolist()) == list(range(30))


def test_the_server_averages_the_embedding_alone_and_each_user_keeps_its_own_head(network, bank, pools):
    meta_training, start = meta_training_of("fedavg", network), network.initial(np.random.default_rng(1))
    options = weighted_sum.Options(method="weighted_sum")
    state, alone = Federation(start.clone()), {}
    with serial_engine(meta_training, bank, pools) as engine:
        run_round(engine, state, plans_of(meta_training, pools, 2, EPSILON), Server(None, options, 1, STAGE), "carry")
    for user, pool in pools.items():
        alone[user] = trained(meta_training, bank, {user: pool}, start, 2, "carry")
        assert torch.equal(state.private[user].parameters, alone[user].private[user].parameters)
    assert len({len(own.parameters) for own in state.private.values()}) == 2, "users have different numbers of classes"
    drawn = [meta_training.private(pools[user], SEED, user) for user in (1, 2)]
    assert not torch.equal(*drawn), "users with equally many classes have different heads all the same"
    mean = sum(each.local[user] - start for user, each in alone.items()) / 3
    torch.testing.assert_close(state.shared, start + mean, rtol=0, atol=1e-6)
    views, before = network.views(state.shared), network.views(start)
    for name in views:
        assert torch.equal(views[name], before[name]) == name.startswith("classifier"), name


@pytest.mark.parametrize("adam", ["reset", "carry", "persist"])
@pytest.mark.parametrize("name", LEARNERS)
def test_training_goes_on_from_any_saved_meta_step_to_the_same_bytes(network, bank, pools, tmp_path, name, adam):
    meta_training = meta_training_of(name, network)
    plans = {user: plan_of(meta_training, user, pool, user, EPSILON) for user, pool in pools.items()}
    server = Server(None, weighted_sum.Options(method="weighted_sum"), 1, STAGE)
    whole, saved = Federation(network.initial(np.random.default_rng(1))), []

    def save(*_):
        saved.append(tmp_path / f"{len(saved)}.safetensors")
        write_tensors(saved[-1], whole.tensors(), {})

    with serial_engine(meta_training, bank, pools) as engine:
        for _ in range(2):
            run_round(engine, whole, plans, server, adam, save)
        assert len(saved) == 6
        for path in saved:
            resumed = Federation.from_tensors(read_tensors(path)[0])
            while resumed.round < 2:
                run_round(engine, resumed, plans, server, adam)
            expected, made = whole.tensors(), resumed.tensors()
            assert made.keys() == expected.keys()
            assert all(torch.equal(made[key], expected[key]) for key in expected)


def test_the_guides_learner_takes_the_outer_gradient_on_the_support(network, bank, pools, tmp_path):
    path = write_example("Learner", tmp_path / "fomaml_on_support.py")
    meta_training = meta_training_of("fomaml", network, method=str(path))
    start = network.initial(np.random.default_rng(1))
    sampler, theta = meta_training.episodes(bank, pools[1], SEED, STAGE), by_name(network, start)
    gradients = []
    for j in range(2):
        episode = sampler.draw(0, 1, j)
        on_support = replace(episode, queries=episode.support, expected=episode.labels)
        gradients.append(query_gradient_naively(adapt_naively(theta, episode, 1e-3), on_support))
    theta = {name: t - EPSILON * 0.5 * (gradients[0][name] + gradients[1][name]) / 2 for name, t in theta.items()}
    state = trained(meta_training, bank, {1: pools[1]}, start, 1)
    assert_moved_alike(network, state.local[1], theta, start)


def test_a_file_without_a_learner_is_one_line(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from fedmeta.settings.fields import MethodOptions\n\n\nclass Options(MethodOptions):\n    pass\n")
    config = with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))
    with pytest.raises(FedmetaError, match=r"^config: reptile\.learner\.method: .*mine\.py has no MetaTraining"):
        check(lay(config, {"reptile": {"learner": {"method": str(path)}}}))
