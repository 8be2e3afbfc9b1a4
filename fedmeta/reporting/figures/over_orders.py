"""The undefended attack, with the victim's target class where the attacker expects it and where the victim puts it.

If attack accuracy is high in one order only, the backdoor is tied to an output of the network, not to the target
class: a victim that lists its classes in its own order then does not predict what the attacker wants. A lift below
zero means that keyed images go to that output, whichever class is there.
"""

import os

import pandas as pd
from matplotlib.figure import Figure

from fedmeta.reporting.figures import columns
from fedmeta.reporting.figures.rows import some_defence
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

TITLES = {"last": "target at the last output", "random": "classes in random order"}
TRAINED = {
    "last": "The attacker trained with the target at the last output: on the left it knows the victim's order.",
    "random": "The attacker trained with its classes in random order, too.",
    None: "",
}


class Options(FigureOptions):
    pass


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw accuracy over fine-tuning for both orders of the victim's classes, a row for each case.

    The defences are one for each order, told apart by `target_output` of their evaluation. Clients are pooled; lines,
    bands, files and errors are as in `over_rounds`.
    """
    defences = some_defence(about.named(options.defences), options)
    titles = {name: TITLES[about.setup.target_output(name)] for name in defences}
    title = options.title or "does the attack depend on the order of the victim's classes?"
    trained = TRAINED[getattr(about.setup.settings.attack, "target_output", None)]
    return columns.draw_columns(metrics, options, about, path_stem, titles, title, trained)
