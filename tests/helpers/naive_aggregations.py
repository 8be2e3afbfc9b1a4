"""Aggregations as loops, from their papers: lists of vectors and f to a robust mean and the places of those in it."""

import math
from itertools import combinations

import numpy as np
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components


def squared(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def median(vectors, f):
    ordered = [sorted(values) for values in zip(*vectors, strict=True)]
    n = len(vectors)
    return np.array([values[n // 2] if n % 2 else sum(values[n // 2 - 1 : n // 2 + 1]) / 2 for values in ordered])


def trimmed_mean(vectors, f):
    ordered = [sorted(values) for values in zip(*vectors, strict=True)]
    return np.array([sum(values[f : len(values) - f]) / (len(values) - 2 * f) for values in ordered])


def geometric_median(vectors, f):
    """By a general optimiser."""

    def cost(point):
        return sum(math.sqrt(squared(point, vector)) for vector in vectors)

    return minimize(cost, np.mean(vectors, axis=0), method="BFGS", options={"gtol": 1e-9}).x


def krum_scores(vectors, f):
    scores = []
    for i, vector in enumerate(vectors):
        others = sorted(squared(vector, other) for j, other in enumerate(vectors) if j != i)
        scores.append(sum(others[: len(vectors) - f - 2]))
    return scores


def krum(vectors, f):
    scores = krum_scores(vectors, f)
    return vectors[scores.index(min(scores))]


def multi_krum(vectors, f, kept=None):
    scores = krum_scores(vectors, f)
    best = sorted(range(len(vectors)), key=lambda i: scores[i])[: kept or len(vectors) - f]
    return sum(vectors[i] for i in best) / len(best)


def minimum_diameter(vectors, f):
    def diameter(places):
        return max(squared(vectors[i], vectors[j]) for i, j in combinations(places, 2))

    best = min(combinations(range(len(vectors)), len(vectors) - f), key=diameter)
    return sum(vectors[i] for i in best) / len(best)


def nearest_to(place, vectors, f):
    nearest = sorted(vectors, key=lambda vector: squared(vector, vectors[place]))[: len(vectors) - f]
    return sum(nearest) / len(nearest)


def monna(vectors, f):
    sums = [sum(math.sqrt(squared(vector, other)) for other in vectors) for vector in vectors]
    return nearest_to(sums.index(min(sums)), vectors, f)


def nearest_neighbour_mixing(vectors, f):
    return [nearest_to(place, vectors, f) for place in range(len(vectors))]


def clipping(vectors, bound=None):
    norms = [math.sqrt(sum(x * x for x in vector)) for vector in vectors]
    bound = np.median(norms) if bound is None else bound
    return [vector if norm <= bound else vector * (bound / norm) for vector, norm in zip(vectors, norms, strict=True)]


def centred_clipping(vectors, f, centre=0.0, radius=None, steps=1):
    centre = np.zeros(len(vectors[0])) + centre
    if radius is None:
        radius = np.median([math.sqrt(squared(vector, centre)) for vector in vectors])
    for _ in range(steps):
        centre = centre + sum(clipping([vector - centre for vector in vectors], radius)) / len(vectors)
    return centre


def flame_cluster(models):
    """With clusters of more than half, HDBSCAN finds the first one that single linkage makes of nearer and nearer."""
    n = len(models)

    def distance(one, other):
        return 1 - one @ other / math.sqrt((one @ one) * (other @ other))

    distances = np.array([[distance(one, other) for other in models] for one in models])
    for limit in sorted(distances[i, j] for i, j in combinations(range(n), 2)):
        _, labels = connected_components(distances <= limit, directed=False)
        largest = max(set(labels), key=list(labels).count)
        if list(labels).count(largest) > n / 2:
            return [i for i in range(n) if labels[i] == largest]
    raise AssertionError("all are one cluster in the end")


def flame(shared, vectors):
    """Without noise."""
    cluster, clipped = flame_cluster([shared + vector for vector in vectors]), clipping(vectors)
    return sum(clipped[i] for i in cluster) / len(cluster)


def foolsgold(histories, confidence):
    n = len(histories)
    similarity = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            if i != j:
                one, other = histories[i], histories[j]
                similarity[i][j] = one @ other / math.sqrt((one @ one) * (other @ other))
    most = [max(0.0, *row) for row in similarity]
    for i in range(n):
        for j in range(n):
            if most[j] > most[i]:
                similarity[i][j] *= most[i] / most[j]
    weights = [1 - max(0.0, *row) for row in similarity]
    weights = [0.99 if weight == max(weights) else weight / max(weights) for weight in weights]
    logits = [confidence * (math.log(weight / (1 - weight)) + 0.5) if weight > 0 else -math.inf for weight in weights]
    return [min(1.0, max(0.0, logit)) for logit in logits]
