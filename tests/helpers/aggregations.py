"""The package's aggregations on random updates."""

import numpy as np
import torch

from fedmeta import plugins

N, F, SIZE = 9, 2, 12
ROBUST = ("median", "trimmed_mean", "geometric_median", "krum", "multi_krum", "minimum_diameter", "monna")
ROBUST += ("centred_clipping",)
# Options with which results can be told exactly.
EXACT = {name: {"attackers": F} for name in ROBUST} | {"norm_clipping": {"noise": 0}, "flame": {"noise": 0}}
EXACT["geometric_median"] |= {"steps": 3000, "smoothing": 1e-12}
EXACT["foolsgold"] = {}
CHOOSING = ("krum", "multi_krum", "minimum_diameter", "monna", "flame")


def draw(seed, n=N):
    """Return random updates by user, in a random order of users, around a direction, the last one far off."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=SIZE) + random.normal(size=(n, SIZE)) * random.uniform(0.3, 1, size=(n, 1))
    vectors[-1] += 3 * random.normal(size=SIZE)
    return {int(user): torch.from_numpy(vectors[user - 1]) for user in random.permutation(np.arange(1, n + 1))}


def shared_of(seed):
    return torch.from_numpy(np.random.default_rng((seed, 1)).normal(size=SIZE))


def aggregate(method, updates, shared=None, weights=None, state=None, seed=0, **options):
    own = plugins.options("aggregation", {"method": method, **options})
    shared = torch.zeros(len(next(iter(updates.values()))), dtype=torch.float64) if shared is None else shared
    weights = weights or dict.fromkeys(updates, 1 / len(updates))
    random = np.random.default_rng(seed)
    return plugins.load("aggregation", method).aggregate(shared, updates, weights, state or {}, own, random)


def listed(updates):
    return [updates[user].numpy() for user in sorted(updates)]


def weights_of(updates):
    return {user: 0.05 + user / 50 for user in updates}
