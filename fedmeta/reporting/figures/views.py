"""The models that figures of single images show side by side: before the attack, after it, and with each defence."""

from typing import NamedTuple

from fedmeta.errors import FedmetaError
from fedmeta.reporting.details import Detail
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions


class View(NamedTuple):
    """A title, and the detail of the model it is about."""

    title: str
    detail: Detail


def views_of(about: About, options: FigureOptions) -> list[View]:
    """Return what a figure shows: the first defence on the clean and on the attacked model, then the others.

    All are of the run's first seed, scope and client. The first entry of `defences` should be plain
    fine-tuning. Raises FedmetaError if the figure names no defence.
    """
    names = about.named(options.defences)
    if not names:
        raise FedmetaError(f"a figure of the kind {options.kind} needs `defences`: name some of the config's")
    first = about.details[0]
    found = {
        (each.defence, each.model): each
        for each in about.details
        if (each.seed, each.scope, each.client) == (first.seed, first.scope, first.client)
    }
    views = [
        View("before the attack", found[names[0], "pretrained"]),
        View("after the attack", found[names[0], "attacked"]),
    ]
    return views + [View(f"after it, with {name.replace('_', ' ')}", found[name, "attacked"]) for name in names[1:]]


def whose(detail: Detail) -> str:
    """Return in words which run a detail is from."""
    return f"client {detail.client}, seed {detail.seed}"
