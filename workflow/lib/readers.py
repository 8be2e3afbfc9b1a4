"""What the file of a reader declares about its data set, as literal constants: read from its source, not imported."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.settings.fields import Count, Section

Suffixes = Annotated[tuple[Annotated[str, Field(pattern=r"^\.[^A-Z/]+$")], ...], Field(strict=False)]


class Declared(Section):
    """The constants of a reader, all optional."""

    CHANNELS: Literal[1, 3] | None = Field(None, description="1 (grey images) or 3 (colour)")
    PUBLISHED: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] | None = Field(
        None, description="a dictionary of the files that the reader downloads: name -> MD5, 32 digits"
    )
    DEPTH: Count | None = Field(None, description="a whole number from 1: 1 for files in the raw folder itself")
    FILES: Suffixes | None = Field(None, description='a tuple of lower-case suffixes, like (".png", ".npy")')
    LARGE: Suffixes = Field((), description='a tuple of lower-case suffixes, like (".zip",)')


def constants_of(dataset: str) -> Declared:
    """Return the constants of a data set's reader. Raises FedmetaError if one of them is not as it must be."""
    fields = Declared.model_fields
    values = {name: plugins.constant("reader", dataset, name, field.default) for name, field in fields.items()}
    try:
        return Declared.model_validate(values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        file = plugins.file_of("reader", dataset)
        raise FedmetaError(f"{file}: {name} must be {fields[name].description}") from None
