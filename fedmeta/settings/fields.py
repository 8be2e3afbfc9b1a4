"""The types that make up the sections of the config: bounds that several keys share, lists, names."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

T = TypeVar("T")

Name = Annotated[str, Field(min_length=1)]
Case = Literal["a", "b", "c"]
TargetOutput = Literal["last", "random"]


class Section(BaseModel):
    """A section of the config. Its keys are its fields and no others; numbers are finite and never strings."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class OwnOptions(Section):
    """What every class `Options` can check itself."""

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        """Yield (option, problem) for options that are legal alone but not together, or not with the settings `own`."""
        yield from ()


def by_key(name: str, value: Any) -> dict[str, Any]:
    """Return an option's value by its key, or the values of a list by `NAME.1` and so on; nothing for None."""
    if isinstance(value, tuple):
        return {f"{name}.{number}": each for number, each in enumerate(value, 1)}
    return {} if value is None else {name: value}


class MethodOptions(OwnOptions):
    """What every method's `Options` has. The options of a method are the section of the config that names it."""

    method: Name = Field(description="a method of this kind, or the path of your own Python file")

    def with_inner(self, key: str) -> "Iterator[tuple[str, MethodOptions]]":
        """Yield (key, options) of this method, whose key is `key`, and of the methods that its options name."""
        yield key, self
        for name, value in self:
            for place, each in by_key(name, value).items():
                if isinstance(each, MethodOptions):
                    yield from each.with_inner(f"{key}.{place}")

    def common_with(self, kind: type[BaseModel]) -> dict[str, Any]:
        """Return the options that another kind inherits from the same class, except those that name methods."""
        ancestor = next(each for each in type(self).__mro__ if each in kind.__mro__)
        shared = ancestor.model_fields.keys() - {"method", "beneath"}
        return {name: getattr(self, name) for name in sorted(shared)}


# In the config a mapping, {method: NAME, option: value, ...}. Checked settings have the method's own options in its
# place (`fedmeta.settings.checks`); all code reads those.
if TYPE_CHECKING:
    Method = MethodOptions
else:
    Method = dict[str, Any]


def type_of(field: FieldInfo) -> Any:
    """Return the type of a field with its bounds, as pydantic's TypeAdapter takes it."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def repeated(values: Sequence[T]) -> Iterator[T]:
    """Yield the values that occur earlier in the sequence, too; 0 and 0.0 are the same."""
    yield from (value for k, value in enumerate(values) if value in values[:k])


def distinct(values: Sequence[T]) -> Sequence[T]:
    """Return `values`; raise an error that names the first one given twice."""
    for value in repeated(values):
        raise PydanticCustomError("twice", "{value} is given twice; remove one", {"value": value})
    return values


def path_without_braces(path: str) -> str:
    """Return `path`; raise an error for characters that Snakemake reads as a pattern, or that no path can have."""
    if set(path) & set("{}\n\0"):
        raise PydanticCustomError("path", "a path must not contain braces or line breaks: rename it")
    return path


# Lists are written as YAML lists and read as tuples, so that checked settings cannot change.
Several = Annotated[
    tuple[T, ...],
    Field(strict=False, min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(distinct),
]
Each = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]
Names = Annotated[tuple[Name, ...], Field(strict=False), AfterValidator(distinct)]
Pair = Annotated[tuple[T, T], Field(strict=False)]

# The upper bounds are far above what anyone can compute: they catch typing errors before memory runs out.
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Number = Annotated[int, Field(ge=0, le=1_000_000)]
# Snakemake cannot handle larger numbers.
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Shot = Annotated[int, Field(ge=2, le=10_000)]
Pixels = Annotated[int, Field(ge=0, le=1024)]
Level = Annotated[int, Field(ge=0, le=255)]
Rate = Annotated[float, Field(ge=0, le=1)]
# The networks use single precision, whose largest number is 3.4e38.
Positive = Annotated[float, Field(gt=0, le=1e38)]
Factor = Annotated[float, Field(gt=0, le=1_000_000)]
# Part of the name of a file or folder.
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,=+-]*$", max_length=100)]
# The path of a file whose content counts, not its name.
File = Annotated[str, Field(min_length=1, json_schema_extra={"file": True}), AfterValidator(path_without_braces)]


class DefenceOptions(MethodOptions):
    """What every defence has besides the options of its method."""

    iterations: Several[Number] = Field(
        (0, 1, 2, 5, 10, 20, 50), description="at which accuracy is measured; the highest is the length"
    )
    repair: Method | Each[Method] | None = Field(
        None,
        description="what the client does once beforehand: {method: NAME, option: value}, or a list of several in "
        "order; null: nothing",
    )
    evaluation: dict[str, Any] = Field({}, description="keys of evaluation that differ for this defence")

    @property
    def repairs(self) -> dict[str, Method]:
        """All that the client does once beforehand, in order, by key: `repair`, or `repair.1` and so on for a list."""
        return by_key("repair", self.repair)

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        if max(self.iterations) == 0:
            yield "iterations", "the highest is the length of fine-tuning: add one above 0"


class FigureOptions(OwnOptions):
    """What every entry of the table of figures has besides the options of its kind."""

    kind: Name = Field(description="a kind of figure, or the path of your own Python file")
    defences: Names = Field((), description="entries of `defences` that it shows; NAME stands for its whole grid")
    control: Name | None = Field(None, description="the entry to compare them with, or null")
    cases: Several[Case] | None = Field(None, description="those of evaluation.cases to show; null: all")
    title: Name | None = Field(None, description="null: the title of its kind")
