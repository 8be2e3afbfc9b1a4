"""What a model computes and learns in an episode, by a naive loop in plain PyTorch."""

import numpy as np
import torch
import torch.nn.functional as F


def adapt_naively(start, episode, learning_rate):
    """Return the parameters, by name, after the episode's batches: torch.optim.Adam with beta1 = 0, begun anew."""
    parameters = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
    support = torch.from_numpy(np.asarray(episode.support)).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(episode.labels)
    optimizer = torch.optim.Adam(parameters.values(), lr=learning_rate, betas=(0.0, 0.999))
    for rows in torch.from_numpy(episode.batches):
        optimizer.zero_grad()
        F.cross_entropy(logits_naively(parameters, support[rows], support[rows]), labels[rows]).backward()
        optimizer.step()
    return {name: tensor.detach() for name, tensor in parameters.items()}


def scores_naively(start, episode, learning_rate):
    """Return the episode's scores before and after its batches."""
    adapted = adapt_naively(start, episode, learning_rate)
    support, queries = (
        torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2) / 255 for images in (episode.support, episode.queries)
    )
    return [episode.score(predict_naively(parameters, support, queries)) for parameters in (start, adapted)]


def predict_naively(parameters, support, queries):
    """Return the predicted labels: each query is normalised by the support's statistics, alone."""
    with torch.no_grad():
        return np.array([logits_naively(parameters, query[None], support).argmax().item() for query in queries])


def logits_naively(parameters, images, support):
    """Return the class scores of images, embedded as below."""
    features = embedded_naively(parameters, images, support)
    return features @ parameters["classifier.kernel"].T + parameters["classifier.bias"]


def embedded_naively(parameters, images, support):
    """Return the embeddings of images that are normalised, module by module, by the support's mean and variance."""
    for i in range(1, 5):
        kernel, gamma, beta = (parameters[name] for name in (f"conv{i}.kernel", f"norm{i}.gamma", f"norm{i}.beta"))
        images, support = (F.conv2d(each, kernel, padding=1) for each in (images, support))
        mean, variance = (
            each[:, None, None] for each in (support.mean((0, 2, 3)), support.var((0, 2, 3), correction=0))
        )
        images, support = (
            F.max_pool2d(
                F.relu((each - mean) / (variance + 1e-5).sqrt() * gamma[:, None, None] + beta[:, None, None]), 2
            )
            for each in (images, support)
        )
    return images.permute(0, 2, 3, 1).flatten(1)
