"""A small federation on random images, and the tools that several tests share."""

import numpy as np
import pytest
import torch
from helpers.random_bank import make_bank
from helpers.stage_runs import load_stages, make_data, small_settings

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.learning.conv4 import Conv4


@pytest.fixture
def bank() -> ImageBank:
    return make_bank(12, 12)


@pytest.fixture
def pool(bank) -> list[np.ndarray]:
    return [bank.rows(k) for k in range(len(bank.classes))]


@pytest.fixture
def network() -> Conv4:
    return Conv4(1, 16, 3, filters=8)


@pytest.fixture
def samplers(bank, pool):
    shape = EpisodeShape(way=3, shot=4, inner_steps=3, inner_batch=5)
    return {f"user {user}": BenignEpisodes(bank, pool[user : user + 8], shape, 7, "test") for user in (1, 2, 3)}


@pytest.fixture(scope="session")
def stages():
    """The function of each stage's script, by the name of its rule."""
    return load_stages()


@pytest.fixture(scope="session")
def settings() -> dict:
    return small_settings()


@pytest.fixture(scope="session")
def stage_data(settings, tmp_path_factory) -> dict[str, str]:
    """The files that the data stages make, by their names in the rules."""
    return make_data(settings, tmp_path_factory.mktemp("stage_data"))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A copy of the project in which everything is made: see `finished.Finished`."""
    from finished import Finished  # it imports Snakemake, which takes a second

    return Finished(tmp_path_factory.mktemp("finished"))


def pytest_collection_modifyitems(items):
    """Begin with the files that run whole workflows, which take minutes: no core is to get one last."""
    items.sort(key=lambda item: item.path.parent.name != "workflow")
