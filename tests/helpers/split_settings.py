"""Settings of a split written as one flat mapping, for tests."""

from collections.abc import Mapping

from fedmeta.settings import Settings
from fedmeta.settings.sections import Federation, Split


def split_settings(values: Mapping, **sections: object) -> Settings:
    """Return the sections `federation` (users and attacker) and `split` (the other values), and those given.

    Values are not checked: tests of what a split needs go to where no config may.
    """
    own = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    federation = Federation.model_construct(**{key: own.pop(key) for key in ("users", "attacker")})
    return Settings.model_construct(federation=federation, split=Split.model_construct(**own), **sections)
