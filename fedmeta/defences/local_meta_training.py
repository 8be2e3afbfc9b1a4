"""Meta-training by one benign user alone on the model that it received (App. A.3), with the federation's learner."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from fedmeta.defences.interface import Client
from fedmeta.federation.rounds import Federation, LocalTraining, meta_batch
from fedmeta.federation.training import benign_plan
from fedmeta.learning.choice import choose_engine
from fedmeta.learning.engine import Start
from fedmeta.learning.meta.interface import MetaTraining, open_meta_training
from fedmeta.progress import Progress
from fedmeta.settings.fields import Count, MethodOptions, Pair, Rate

META_TRAINS = True  # its jobs depend on the learner of `reptile.learner`, too
NAME = "local meta-training"  # of its draws


class Options(MethodOptions):
    episodes: Count = Field(100, description="episodes of the client's meta-training, rounded up to whole meta-batches")
    outer_learning_rate: Rate | Pair[Rate] = Field(
        0.1, description="epsilon of the client: one number, or [first, last] of its meta-steps"
    )


def repair(model: Start, client: Client, options: Options) -> Start:
    """Return the model after meta-training on the client's own classes, as in a round of the federation."""
    reptile, user = client.settings.reptile, client.user
    steps = math.ceil(options.episodes / reptile.meta_batch)
    rate = options.outer_learning_rate
    rates = np.linspace(*rate, steps).tolist() if isinstance(rate, tuple) else [rate] * steps
    meta_training = open_meta_training(reptile, client.network)
    plan = benign_plan(meta_training, "own", client.pool, client.seed, user, steps, rates[0])
    kept = client.unfinished.load()
    state = Federation.from_tensors(kept) if kept else beginning(model, client)
    for _ in meta_steps(client, state, meta_training, plan, rates):
        client.unfinished.save_if_due(state.tensors)
    # The sum is not always local[user] in single precision: the client's model is its update on top of the shared one.
    return state.start_of(user, state.shared + (state.local[user] - state.shared))


def beginning(model: Start, client: Client) -> Federation:
    """Return the state before the first meta-step, with what the client keeps to itself."""
    user = client.user
    trained = {"second_moments": {user: model.second_moment}, "taken": {user: model.taken}} if model.taken else {}
    trained |= {"private": {user: client.private}} if client.private else {}
    return Federation(model.parameters, local={user: model.parameters.clone()}, **trained)


def meta_steps(
    client: Client, state: Federation, meta_training: MetaTraining, plan: LocalTraining, rates: Sequence[float]
) -> Iterator[None]:
    """Take the remaining meta-steps in place, each at its own rate (epsilon) of `rates`; yield after each."""
    reptile = client.settings.reptile
    samplers = {plan.sampler: meta_training.episodes(client.bank, client.pool, client.seed, NAME)}
    learner = meta_training.learner(client.pool)
    progress = Progress(NAME, plan.episodes, state.step * plan.meta_batch)
    with choose_engine(client.settings.engine, learner, samplers, client.threads, 1, plan.meta_batch) as engine:
        while state.step < plan.meta_steps:
            own = replace(plan, outer_learning_rate=rates[state.step])
            outcomes = meta_batch(engine, state, {client.user: own}, reptile.adam)
            yield
            progress.advance(plan.meta_batch, f"loss {np.mean([outcome.loss for outcome in outcomes]):.3f}")
