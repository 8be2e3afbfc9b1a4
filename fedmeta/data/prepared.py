"""Opens what the data stages have made: images, and the role of each."""

import os
from collections.abc import Mapping

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import EvaluationData
from fedmeta.data.splits import Split, read_split


def open_split(files: Mapping[str, str | os.PathLike]) -> tuple[ImageBank, Split]:
    """Return (bank, split): the images and the role of each. `files`: by the names of the rules' inputs."""
    bank = ImageBank.open(files["images"], files["classes"])
    return bank, Split(read_split(files["split"]), bank)


def open_evaluation_data(files: Mapping[str, str], client: int) -> EvaluationData:
    """Return the data of a client's evaluation. `files`: by the names of the rules' inputs."""
    names = ("attack_training", "attack_validation")
    keyed = [ImageBank.open(files[name], files[f"{name}_classes"]) for name in names]
    return EvaluationData.of_client(*open_split(files), keyed, client)
