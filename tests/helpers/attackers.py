"""Attacks of any method on a small federation of random images with the real key, for tests."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedmeta.attacks.interface import Attack
from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import Episode
from fedmeta.data.split_drawing import draw_split
from fedmeta.data.splits import Split
from fedmeta.data.trigger import keyed_images
from fedmeta.federation.stages import open_attack
from fedmeta.federation.training import Stage
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import as_images
from fedmeta.settings import lay, part, with_table
from helpers.random_bank import make_bank
from helpers.stage_runs import small_settings
from workflow.lib.jobs import Jobs, Place

SMALL = {
    **{"engine": "serial", "data": {"size": 16}, "model": {"filters": 4}, "federation": {"users": 5}},
    "meta_train_after": {"rounds": 4},
}


@cache
def drawn(attackers: tuple[int, ...]) -> tuple[ImageBank, Split, ImageBank]:
    """Return images, their split with these attackers, and the keyed images that attackers train on."""
    settings, bank = lay(small_settings(), SMALL), make_bank(40, 20)
    users = {**settings["federation"], "attacker": list(attackers)}
    split = Split(draw_split(bank.classes, part({"split": settings["split"], "federation": users}), seed=1), bank)
    pools, trigger = split.backdoor("attack_training"), part({"data": settings["data"]}).data.trigger
    return bank, split, ImageBank(*keyed_images(bank, pools, [f"keyed {k}" for k in range(len(pools))], trigger))


def stage_of(method: str, attackers: tuple[int, ...] = (1,), laid: dict[str, Any] | None = None, **options) -> Stage:
    """Return the attacked round under an attack of this method with these options; `laid` over the other settings."""
    config = lay(lay(small_settings(), SMALL), laid or {})
    config = lay(config, {"attack": {"method": method, **options}, "federation": {"attacker": list(attackers)}})
    bank, split, _ = drawn(attackers)
    settings = Jobs(with_table(config)).params("attack", Place("default", "glyphs"))["settings"]
    return Stage("attacked round", bank, split, 1, False, part(settings), 2)


def attack_of(method: str, attackers: tuple[int, ...] = (1,), laid: dict[str, Any] | None = None, **options) -> Attack:
    """Return the attack itself."""
    return open_attack(stage_of(method, attackers, laid, **options), drawn(attackers)[2])


def models(network: Conv4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two models, (P,): a shared one, and a local one near it; variances are above 0."""
    shared = network.initial(np.random.default_rng(seed))
    noise = torch.from_numpy(np.random.default_rng(seed + 1).normal(0, 0.05, len(shared))).float()
    local = shared + noise
    for each in (shared, local):
        for name, view in network.views(each).items():
            if name.endswith("variance"):
                view.abs_()
    return shared, local


def tensors(episode: Episode) -> tuple[Tensor, Tensor]:
    """Return the support as the network takes it, and its labels."""
    return as_images(episode.support), torch.from_numpy(episode.labels)
