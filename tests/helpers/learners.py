"""Learners of meta-training on the small bank of `conftest`, for tests."""

from typing import Any

from fedmeta.federation.rounds import LocalTraining
from fedmeta.federation.training import benign_plan
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Serial
from fedmeta.learning.meta.interface import MetaTraining, open_meta_training
from fedmeta.settings import part

LEARNERS: dict[str, dict[str, Any]] = {
    "reptile": {"method": "reptile"},
    "fomaml": {"method": "fomaml", "rate": 0.5, "queries": 3},
    "fedavg": {"method": "fedavg"},
}
SMALL = {"way": 3, "shot": 4, "inner_steps": 3, "inner_batch": 5, "meta_batch": 2}
RATES = {"inner_learning_rate": 1e-3, "beta2": 0.999}
SEED, STAGE = 7, "test"


def meta_training_of(name: str, network: Conv4, **options: Any) -> MetaTraining:
    """Return a learner with the options of `LEARNERS`, and others."""
    learner = {**LEARNERS[name], **options}
    return open_meta_training(part({"reptile": {**SMALL, **RATES, "learner": learner}}).reptile, network)


def plans_of(meta_training: MetaTraining, pools: dict[int, Any], meta_steps: int, rate: float):
    """Return what users do who have these images, by user."""
    return {user: plan_of(meta_training, user, pool, meta_steps, rate) for user, pool in pools.items()}


def plan_of(meta_training: MetaTraining, user: int, pool: Any, meta_steps: int, rate: float) -> LocalTraining:
    return benign_plan(meta_training, f"user {user}", pool, SEED, user, meta_steps, rate)


def serial_engine(meta_training: MetaTraining, bank, pools: dict[int, Any]) -> Serial:
    """Return an engine for these users."""
    learners = {f"user {user}": meta_training.learner(pool) for user, pool in pools.items()}
    samplers = {f"user {user}": meta_training.episodes(bank, pool, SEED, STAGE) for user, pool in pools.items()}
    return Serial(learners, samplers)
