"""How the results in a figure or a comparison were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedmeta.reporting.details import Detail


@dataclass(frozen=True)
class Setup:
    """The settings of one scenario for one data set, as far as the job was given them, and the defences that it shows.

    `settings` is read by attribute (`settings.reptile.way`); `defences`: the options of their methods, by entry.
    """

    settings: Any
    defences: Mapping[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Setup":
        """Return the setup of a job's param {settings: sections, defences: entries by name}."""
        from fedmeta import plugins
        from fedmeta.settings import part

        entries = given["defences"].items()
        return cls(part(given["settings"]), {name: plugins.options("defence", entry) for name, entry in entries})

    def option(self, name: str, option: str) -> Any:
        """Return an option of the defence called `name`, or None if its method has no such option."""
        return getattr(self.defences[name], option, None)

    def method(self, name: str) -> str:
        """Return the method of the defence called `name`; for a file of the user's own, its name in tables."""
        return self.defences[name].method.rpartition("/")[2].removesuffix(".py")

    def target_output(self, name: str = "") -> str:
        """Return where the victim's tasks have the target class, under the defence called `name`."""
        own = self.defences[name].evaluation if name else {}
        return own.get("target_output", self.settings.evaluation.target_output)


@dataclass(frozen=True)
class About:
    """What a figure is about: a data set, and the setup of each scenario that it shows, by the scenario's name.

    A kind that does not compare scenarios is given one. `kernel_norms` is the table of `kernel_norms.py`, with the
    columns seed, scope, model, kernel, norm, fresh_norm, ratio, for kinds that ask for it (`MODELS`). `details` is what
    models predict for single images, for kinds that ask for it (`DETAILS`).
    """

    dataset: str
    setups: Mapping[str, Setup]
    kernel_norms: pd.DataFrame | None = None
    details: Sequence[Detail] = ()

    @property
    def setup(self) -> Setup:
        """The setup of the only scenario, or of the first."""
        return next(iter(self.setups.values()))

    @property
    def way(self) -> int:
        """N, the classes of an episode: chance is 1/N."""
        return self.setup.settings.reptile.way

    def named(self, names: tuple[str, ...]) -> list[str]:
        """Return the defences of these names: an entry each or, for an entry with a grid, all its points."""
        there = dict.fromkeys(name for setup in self.setups.values() for name in setup.defences)
        points = {name: [each for each in there if each == name or each.startswith(f"{name},")] for name in names}
        return [each for name in names for each in points[name]]
