"""What `episodes.py` times: each contender runs a number of Conv4 inner steps in processes of its own."""

import contextlib
import copy
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.federation.aggregation.weighted_sum import Options
from fedmeta.federation.rounds import Federation, LocalTraining, run_round
from fedmeta.federation.server import Server
from fedmeta.learning.conv4 import MODULES, Conv4
from fedmeta.learning.engine import Serial, Start, Work, Workers, prepare_process
from fedmeta.learning.reptile import Supervised

WAY, SHOT, BATCH = 5, 10, 10
USERS, META_BATCH = 3, 5  # a meta-step of the paper's rounds: 15 episodes
MATRIX = 1024

ENGINES = contextlib.ExitStack()  # closed when a process has done its turns


class Images(NamedTuple):
    """The images of a data set, which alone decide the cost of a step, and the steps of an episode."""

    channels: int
    size: int
    inner_steps: int


class Speed(NamedTuple):
    """Time taken by `steps` inner steps, all of the machine's work counted: seconds of wall clock."""

    seconds: float
    steps: int


def learner_and_samplers(images: Images, users: int) -> tuple[Supervised, dict[str, BenignEpisodes]]:
    """Return the project's learner and, for each user, episodes of noise."""
    random, classes, examples = np.random.default_rng(0), 10, 20
    shape = (classes * examples, images.size, images.size, images.channels)
    table = [ImageClass(str(k), 0, k, k * examples, examples) for k in range(classes)]
    bank = ImageBank(random.integers(0, 256, shape, dtype=np.uint8), table)
    pool = [bank.rows(k) for k in range(classes)]
    episodes = BenignEpisodes(bank, pool, EpisodeShape(WAY, SHOT, images.inner_steps, BATCH), 0, "benchmark")
    return Supervised(Conv4(images.channels, images.size, WAY), 1e-3), {f"user {k}": episodes for k in range(users)}


def by_engine(make: Callable, images: Images, episodes: int) -> Callable[[], Speed]:
    """Return a run of `episodes` independent episodes by the engine that `make(learner, samplers)` gives."""
    learner, samplers = learner_and_samplers(images, 1)
    start = Start.fresh(learner.network.initial(np.random.default_rng(1)))
    engine = ENGINES.enter_context(make(learner, samplers))

    def run() -> Speed:
        began = time.perf_counter()
        for _ in engine.run([start], [Work(0, "user 0", ((0, k),)) for k in range(episodes)]):
            pass
        return Speed(time.perf_counter() - began, episodes * images.inner_steps)

    return run


def serial(images: Images) -> Callable[[], Speed]:
    """One process, one thread."""
    return by_engine(Serial, images, 1)


def workers(images: Images) -> Callable[[], Speed]:
    """A process for each core, and a meta-step of all selected users."""
    episodes = USERS * META_BATCH
    return by_engine(lambda *of: Workers(*of, os.cpu_count(), 1, episodes), images, episodes)


def batched(device: str, way: str, images: Images) -> Callable[[], Speed]:
    """All episodes of a meta-step side by side on a device; `way` as in `fedmeta.learning.convolution.WAYS`."""
    from fedmeta.learning.batched import Batched

    def make(learner, samplers) -> Batched:
        engine = Batched(learner, samplers, device)
        engine.way = way
        return engine

    return by_engine(make, images, USERS * META_BATCH)


def products(device: str, images: Images) -> Callable[[], Speed]:
    """A meta-step's convolutions as batched matrix products alone, forward and backward: what `batched` cannot beat."""
    episodes, layers, channels = USERS * META_BATCH, [], images.channels
    for i in range(MODULES):
        pixels = BATCH * (images.size >> i) ** 2
        shapes = (episodes, pixels, 9 * channels), (episodes, 9 * channels, 64), (episodes, pixels, 64)
        layers.append([torch.rand(shape, device=device) for shape in shapes])
        channels = 64

    def run() -> Speed:
        began = time.perf_counter()
        for _ in range(images.inner_steps):
            for patches, kernel, _ in layers:
                torch.bmm(patches, kernel)
            for i, (patches, kernel, gradient) in enumerate(layers):
                torch.bmm(patches.mT, gradient)
                if i:
                    torch.bmm(gradient, kernel.mT)
        wait_for(device)
        return Speed(time.perf_counter() - began, episodes * images.inner_steps)

    return run


def wait_for(device: str) -> None:
    """Return when a device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def naive(device: str, images: Images) -> Callable[[], Speed]:
    """What people write: the model copied for an episode, default memory format, optimiser and threads."""
    layers, channels = [], images.channels
    for _ in range(MODULES):
        layers += [nn.Conv2d(channels, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
        channels = 64
    shared = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (images.size >> MODULES) ** 2, WAY))
    shared = shared.to(device)
    support = torch.rand(WAY * SHOT, images.channels, images.size, images.size, device=device)
    labels = torch.arange(WAY, device=device).repeat_interleave(SHOT)

    def run() -> Speed:
        began = time.perf_counter()
        model = copy.deepcopy(shared)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.0, 0.999))
        for rows in torch.randperm(len(support)).repeat(2)[: images.inner_steps * BATCH].split(BATCH):
            optimiser.zero_grad()
            F.cross_entropy(model(support[rows]), labels[rows]).backward()
            optimiser.step()
        wait_for(device)
        return Speed(time.perf_counter() - began, images.inner_steps)

    return run


def floor(images: Images) -> Callable[[], Speed]:
    """The convolutions of a step alone, by PyTorch's operators in their best memory format, one thread."""
    prepare_process()
    layers, channels = [], images.channels
    for i in range(MODULES):
        size = images.size >> i
        shapes = [(BATCH, channels, size, size), (64, channels, 3, 3), (BATCH, 64, size, size)]
        layers.append([torch.rand(shape).to(memory_format=torch.channels_last) for shape in shapes])
        channels = 64
    arguments = [1, 1], [1, 1], [1, 1], False, [0, 0], 1

    def run() -> Speed:
        began = time.perf_counter()
        for _ in range(images.inner_steps):
            for x, kernel, _ in layers:
                torch.ops.aten.convolution(x, kernel, None, *arguments)
            for i, (x, kernel, gradient) in enumerate(layers):
                torch.ops.aten.convolution_backward(gradient, x, kernel, None, *arguments, [i > 0, True, False])
        return Speed(time.perf_counter() - began, images.inner_steps)

    return run


def matrix_product(_: Images) -> Callable[[], Speed]:
    """Products of MATRIX x MATRIX matrices, one thread; a `step` is one product."""
    prepare_process()
    left, right = torch.rand(MATRIX, MATRIX), torch.rand(MATRIX, MATRIX)

    def run() -> Speed:
        began = time.perf_counter()
        for _ in range(2):
            torch.mm(left, right)
        return Speed(time.perf_counter() - began, 2)

    return run


def federation(users: int, images: Images) -> Callable[[], Speed]:
    """Rounds of a federation of `users`, 3 of them selected; a `step` is one round of an episode each."""
    learner, samplers = learner_and_samplers(images, users)
    engine, random = ENGINES.enter_context(Serial(learner, samplers)), np.random.default_rng(2)
    state = Federation(learner.network.initial(random))
    server = Server(1 / USERS, Options(method="weighted_sum"), 1, "benchmark")

    def run() -> Speed:
        began = time.perf_counter()
        chosen = random.choice(users, USERS, replace=False)
        plans = {int(k): LocalTraining(f"user {k}", 1, 1, 0.1) for k in chosen}
        run_round(engine, state, plans, server, "carry")
        return Speed(time.perf_counter() - began, 1)

    return run


def serve(connection, make: Callable[[Images], Callable[[], Speed]], images: Images) -> None:
    """Run once for each message until it is False, answering with a Speed; then answer with the peak memory, bytes."""
    with ENGINES:
        run = make(images)
        run()
        connection.send(None)
        while connection.recv():
            connection.send(run())
    unit = 1 if sys.platform == "darwin" else 1024
    used = [resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    connection.send(max(used))
