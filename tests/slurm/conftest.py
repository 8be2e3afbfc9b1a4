"""One Slurm cluster for all tests of a file in this folder."""

import pytest
from cluster import Cluster, why_not


@pytest.fixture(scope="module")
def cluster():
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Cluster() as running:
        yield running
