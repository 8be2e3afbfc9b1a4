"""Simple-Tuning (Qin et al. 2023, "Revisiting Personalized Federated Learning: Robustness Against Backdoor Attacks",
KDD): a fresh decision layer, trained alone on the client's own images; the encoder stays as the client received it.

The fixed encoder normalises images in training as it does queries: by the statistics of the whole support set or, with
`batch_norm: running`, by the model's moving averages, which stay as they are. The authors train on all images of a
client; here the client trains on the support set of each task.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.defences.interface import Rates
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Segments, Supervised
from fedmeta.settings.fields import DefenceOptions

ENCODER_KEPT = (1.0, 1.0, 1.0, 1.0, 0.0)  # the Glorot mix that replaces the decision layer alone


class Options(DefenceOptions):
    pass


class SimpleTuning(Supervised):
    """Supervised training of a fresh decision layer."""

    def __init__(self, network: Conv4, rates: Rates, seed: tuple[int, ...]):
        super().__init__(network, *rates)
        self.mix = GlorotMix(ENCODER_KEPT, "shared", seed)

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        return self.mix.start(self.network, parameters, names)

    def segments(self, iteration: int) -> Segments:
        decision_layer = self.network.ways * (self.network.embedding_size + 1)
        return [(slice(self.network.parameter_count - decision_layer, None), iteration)]

    def loss(self, variables, support, labels, rows):
        parameters = self.network.views(variables)
        encoder = {name: tensor.detach() for name, tensor in parameters.items()}
        statistics = self.network.test_statistics(encoder, support)
        features = self.network.features(encoder, support[rows], statistics)[0]
        logits = F.linear(features, parameters["classifier.kernel"], parameters["classifier.bias"])
        return F.cross_entropy(logits, labels[rows]), statistics

    def note_statistics(self, variables, iteration, statistics, support, rows):
        """Leave the moving averages as they are: they are the encoder's."""


def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> SimpleTuning:
    return SimpleTuning(network, rates, seed)
