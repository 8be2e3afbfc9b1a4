"""Sharpness-aware fine-tuning, FT-SAM (Zhu et al. 2023, "Enhancing Fine-Tuning Based Backdoor Defense with
Sharpness-Aware Minimization", ICCV): fine-tuning that seeks a flat minimum moves backdoor-related weights further.

Each step takes the gradient where the loss is about largest within a radius rho of the weights w, measured relative to
their size (adaptive sharpness, Kwon et al. 2021, ICML): at w + rho T^2 g / |T g|, with T = diag(|w|) and g the gradient
at w. The authors descend by SGD with momentum; here, the step is the client's Adam.
"""

import torch
from pydantic import Field

from fedmeta.defences.fine_tuning import FineTuning
from fedmeta.defences.fine_tuning import Options as FineTuningOptions
from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.defences.interface import Rates
from fedmeta.learning.conv4 import Conv4
from fedmeta.settings.fields import Factor

TINY = 1e-12  # so that a gradient of zero perturbs nothing


class Options(FineTuningOptions):
    rho: Factor = Field(2.0, description="radius within which the loss is made largest, relative to the weights")


class SharpnessAware(FineTuning):
    """Fine-tuning by the gradient at the perturbed weights; statistics are those of the unperturbed pass."""

    def __init__(self, network: Conv4, rates: Rates, mix: GlorotMix | None, rho: float):
        super().__init__(network, rates, mix)
        self.rho = rho

    def loss(self, variables, support, labels, rows):
        """Return the loss at the perturbed weights; its gradient is the one there, as the perturbation is constant."""
        weights = variables.detach()
        plain = super().loss
        gradient, statistics = torch.func.grad(plain, has_aux=True)(weights, support, labels, rows)
        scaled = weights.abs() * gradient
        perturbation = self.rho * weights.abs() * scaled / (scaled.norm() + TINY)
        return plain(variables + perturbation, support, labels, rows)[0], statistics


def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> SharpnessAware:
    mix = None if options.delta is None else GlorotMix(options.delta, options.norms, seed)
    return SharpnessAware(network, rates, mix, options.rho)
