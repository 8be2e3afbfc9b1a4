"""What adapted models predict for single images, as written by `fedmeta.evaluation.details`."""

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from fedmeta.errors import FedmetaError


class Detail(NamedTuple):
    """What one model predicts when adapted by one defence.

    `model`: pretrained or attacked. `keyed`: a row for each keyed image of each episode, see
    `fedmeta.evaluation.details.COLUMNS`. `episode`: the arrays of one episode, and `groups` the slices of its images,
    by metric; see `fedmeta.evaluation.details.details`.
    """

    defence: str
    model: str
    seed: int
    scope: str
    client: int
    keyed: pd.DataFrame
    episode: dict[str, np.ndarray]
    groups: dict[str, slice]


def read_detail(name: Sequence[Any], keyed: str | os.PathLike, episode: str | os.PathLike) -> Detail:
    """Return the detail of a (defence, model, seed, scope, client). Raises FedmetaError if a file is cut short."""
    defence, model, seed, scope, client = name
    try:
        rows = pd.read_csv(keyed, dtype={"backdoor_class": "str"}, keep_default_na=False)
        with safe_open(episode, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            groups = json.loads(file.metadata()["provenance"])["groups"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FedmetaError(f"{keyed} or {episode} is incomplete: delete both and run again") from error
    return Detail(
        defence, model, seed, scope, client, rows, arrays, {each: slice(*ends) for each, ends in groups.items()}
    )
