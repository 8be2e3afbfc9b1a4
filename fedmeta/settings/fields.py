"""The types of which the sections of the config are made: bounds that several keys share, lists, names."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")

Dataset = Literal["glyphs", "omniglot", "mini_imagenet", "image_folder"]
Figure = Literal[
    3, 4, 5, 6, 7, 8, "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "ablation", "delta", "order"
]
Case = Literal["a", "b", "c"]
TargetOutput = Literal["last", "random"]


class Section(BaseModel):
    """A section of the config. Its keys are its fields and no others; numbers are finite and no texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


def distinct(values: Sequence[T]) -> Sequence[T]:
    """Return `values`; raise an error that names the first one that is given twice."""
    for k, value in enumerate(values):
        if value in values[:k]:
            raise PydanticCustomError("twice", "{value} is given twice", {"value": value})
    return values


def path_without_braces(path: str) -> str:
    """Return `path`; raise an error for characters that Snakemake reads as part of a pattern, or that no path has."""
    if set(path) & set("{}\n\0"):
        raise PydanticCustomError("path", "a path must have no braces or line breaks")
    return path


# Lists are written as YAML lists and read as tuples, so that settings stay as they were checked.
Several = Annotated[
    tuple[T, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(distinct),
]
Each = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]
Pair = Annotated[tuple[T, T], Field(strict=False)]

# The upper bounds are far above what anyone can compute: they catch slips of the keyboard before memory runs out.
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Number = Annotated[int, Field(ge=0, le=1_000_000)]
# Snakemake cannot take larger numbers.
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Shot = Annotated[int, Field(ge=2, le=10_000)]
Pixels = Annotated[int, Field(ge=0, le=1024)]
Level = Annotated[int, Field(ge=0, le=255)]
Rate = Annotated[float, Field(ge=0, le=1)]
# The networks' numbers are in single precision, whose largest is 3.4e38.
Positive = Annotated[float, Field(gt=0, le=1e38)]
Factor = Annotated[float, Field(gt=0, le=1_000_000)]
Name = Annotated[str, Field(min_length=1)]
