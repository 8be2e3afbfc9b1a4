"""The settings of a run: the one place for type, bounds, meaning and cross-checks of every key of config.yaml.

`check(config, files)` raises a one-line error for a wrong config. `for_dataset(config, name, scenario)` returns the
settings of a data set as objects (`settings.attack.boost`), and `part` those of a job. `python -m fedmeta.settings`
prints the JSON schema, for editors.
"""

from fedmeta.settings.checks import check, for_dataset
from fedmeta.settings.layers import lay, scenarios_of, with_table
from fedmeta.settings.part import part
from fedmeta.settings.sections import OVERRIDABLE, Settings

__all__ = ["OVERRIDABLE", "Settings", "check", "for_dataset", "lay", "part", "scenarios_of", "with_table"]
