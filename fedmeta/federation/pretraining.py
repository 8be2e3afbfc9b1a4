"""Benign pre-training (Sec. 3). It uses no code of attacks, so editing an attack retrains nothing before it."""

import numpy as np

from fedmeta.checkpoints import Unfinished
from fedmeta.draws import generator
from fedmeta.federation.rounds import Federation
from fedmeta.federation.training import Programme, Stage


def pretrain(stage: Stage, unfinished: Unfinished) -> Federation:
    """Return the federation after benign pre-training from fresh weights."""
    settings = stage.settings.pretrain
    rates = np.linspace(*settings.outer_learning_rate, settings.rounds)
    rounds = [stage.benign(number, settings.meta_steps, float(rate)) for number, rate in enumerate(rates, 1)]
    fresh = Federation(stage.network.initial(generator(stage.seed, "initial weights")))
    return train_to_the_end(stage, fresh, Programme(rounds, stage.benign_samplers, {}), unfinished)


def train_to_the_end(stage: Stage, before: Federation, programme: Programme, unfinished: Unfinished) -> Federation:
    """Return the federation after all rounds, resuming unfinished work if there is any."""
    kept = unfinished.load()
    federation = Federation.from_tensors(kept) if kept else before
    for _ in stage.train(federation, programme, lambda: unfinished.save_if_due(federation.tensors)):
        pass
    return federation
