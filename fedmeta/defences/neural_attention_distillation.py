"""Neural attention distillation, NAD (Li et al. 2021, ICLR): the model learns to look where a fine-tuned copy looks.

The teacher is a copy of the model, fine-tuned on the support set. Then the model itself, the student, is trained by
cross entropy plus beta times the distance between its attention maps and the teacher's. A module's map is the sum of
its squared outputs over channels, at each place, normalised to length 1. The authors weight residual groups one by one
and average over places; here, the squared distance of whole maps is summed over the four modules, with one beta. On
images of 28 pixels the last module's map is a single place, the same in both models.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fedmeta.defences.channels import module_outputs
from fedmeta.defences.interface import Rates
from fedmeta.learning.conv4 import Conv4, Statistics
from fedmeta.learning.reptile import Segments, Supervised
from fedmeta.settings.fields import Count, DefenceOptions, Factor, Number, Several


class Options(DefenceOptions):
    iterations: Several[Number] = Field(
        (0, 20, 21, 25, 30, 40, 70), description="at which accuracy is measured, counted from the teacher's first"
    )
    teacher: Count = Field(20, description="first iterations, in which the teacher is fine-tuned")
    beta: Factor = Field(10.0, description="weight of the distance between attention maps")

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        if self.teacher >= max(self.iterations):
            yield "iterations", f"the first {self.teacher} train the teacher: add a higher one"


def attention_map(outputs: Tensor) -> Tensor:
    """Return the normalised attention map of a module's outputs (n, channels, height, width): (n, height width)."""
    return F.normalize(outputs.square().sum(1).flatten(1), dim=1)


class NeuralAttentionDistillation(Supervised):
    """The variables are the student's parameters, then the teacher's; accuracy is the student's."""

    def __init__(self, network: Conv4, rates: Rates, options: Options):
        super().__init__(network, *rates)
        self.teacher, self.beta = options.teacher, options.beta

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        return torch.cat([parameters, parameters])

    def segments(self, iteration: int) -> Segments:
        size = self.network.parameter_count
        if iteration <= self.teacher:
            return [(slice(size, None), iteration)]
        return [(slice(size), iteration - self.teacher)]

    def loss(self, variables, support, labels, rows):
        """Return the sum of both losses; a step follows one, and each reaches only its own model's parameters."""
        size, images = self.network.parameter_count, support[rows]
        logits, maps, statistics = self.passed(variables[:size], images)
        of_teacher, wanted, own = self.passed(variables[size:], images)
        distance = torch.stack([(a - b.detach()).square().sum(1).mean() for a, b in zip(maps, wanted, strict=True)])
        supervised = F.cross_entropy(logits, labels[rows]) + F.cross_entropy(of_teacher, labels[rows])
        return supervised + self.beta * distance.sum(), [*statistics, *own]

    def passed(self, flat: Tensor, images: Tensor) -> tuple[Tensor, list[Tensor], Statistics]:
        """Return a model's class scores, its attention maps, and the statistics of the batch."""
        parameters = self.network.views(flat)
        outputs, statistics = module_outputs(self.network, parameters, images)
        features = outputs[-1].permute(0, 2, 3, 1).flatten(1)
        logits = F.linear(features, parameters["classifier.kernel"], parameters["classifier.bias"])
        return logits, [attention_map(each) for each in outputs], statistics

    def note_statistics(self, variables, iteration, statistics, support, rows):
        """As `Learner.note_statistics`, for the model that the step trains."""
        size, modules = self.network.parameter_count, len(statistics) // 2
        if iteration <= self.teacher:
            variables, statistics = variables[..., size:], statistics[modules:]
        super().note_statistics(variables, iteration, statistics[:modules], support, rows)

    def step(self, variables, second_moment, taken, iteration, support, labels, rows):
        if iteration > self.teacher:
            return super().step(variables, second_moment, taken, iteration, support, labels, rows)
        size = self.network.parameter_count
        return self.trainer.step(variables[size:], second_moment[size:], taken + iteration, support[rows], labels[rows])


def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> NeuralAttentionDistillation:
    return NeuralAttentionDistillation(network, rates, options)
