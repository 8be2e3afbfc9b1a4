"""Tidy tables of a run: the metrics as evaluated, their means with intervals, and the lift of the attack."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fedmeta.errors import FedmetaError
from fedmeta.evaluation.columns import DTYPES, JOB_COLUMNS
from fedmeta.files import atomic_path

COLUMNS = list(DTYPES)
KEY = COLUMNS[:-1]
# One mean is reported for each of these; it is taken over seeds and episodes.
SUMMARY_KEY = [column for column in KEY if column not in ("seed", "episode")]

ATTACK_METRICS = ("attack_training", "attack_validation")
METRICS = ("main_task", *ATTACK_METRICS, "meta_testing")
ALLOWED = {
    "model": ("attacked", "clean"),
    "case": ("a", "b", "c"),
    "metric": METRICS,
}
CONFIDENCE = 0.95


def read_metrics(path: str | os.PathLike) -> pd.DataFrame:
    """Return the rows of a metrics file that has scenarios and defences, in the order of `sort_metrics`.

    Columns and dtypes are `DTYPES`. A row is one accuracy, `value` in [0, 1]; the other columns, `KEY`, are its
    unique name. Values that do not apply are "" (defence), `pd.NA` (client) or NaN (delta).

    Raises FedmetaError naming the file if it is missing, empty or cut off, lacks a column, holds anything that the
    columns do not allow, or names an accuracy twice.
    """
    return _without_repeats([_parse(_read_text(path, COLUMNS), path)], [path])


def gather(paths: Iterable[str | os.PathLike], names: Iterable[Sequence[str]]) -> pd.DataFrame:
    """Return the tables that jobs made as one frame like that of `read_metrics`, with the columns that they lack.

    `names` has (scenario, defence) for each path, the defence "" for an evaluation over rounds. A path may occur
    several times, with other names. Raises FedmetaError as `read_metrics` does, and for an accuracy in two files.
    """
    paths, names = list(paths), list(names)
    if not paths:
        raise FedmetaError("no metrics files to read: evaluate at least one model first")
    read = {path: _read_text(path, JOB_COLUMNS) for path in dict.fromkeys(paths)}
    parsed = {path: _parse(text.assign(scenario="", defence=""), path) for path, text in read.items()}
    frames = [
        parsed[path].assign(scenario=scenario, defence=defence).astype(DTYPES)
        for path, (scenario, defence) in zip(paths, names, strict=True)
    ]
    return _without_repeats(frames, paths)


def _without_repeats(frames: list[pd.DataFrame], paths: list[str | os.PathLike]) -> pd.DataFrame:
    """Return the rows of all frames, sorted. Raises FedmetaError if an accuracy occurs twice."""
    frame = pd.concat(frames, keys=range(len(frames)), names=["file", "row"])
    repeated = frame[frame.duplicated(KEY, keep=False)]
    if len(repeated):
        first, second = repeated.sort_values(KEY).index.get_level_values("file")[:2]
        name = ", ".join(str(part) for part in repeated.sort_values(KEY)[KEY].iloc[0])
        raise FedmetaError(f"{paths[first]} and {paths[second]} both measure ({name}): remove the rows of one of them")
    return sort_metrics(frame)


def sort_metrics(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame sorted by `KEY` from left to right, empty values first, columns in order, rows renumbered."""
    return frame.sort_values(KEY, na_position="first", ignore_index=True)[COLUMNS]


def write_metrics(frame: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write the frame atomically as tidy CSV; equal rows in any order give equal bytes.

    Values are written with all their digits: `read_metrics` returns them unchanged.
    """
    with atomic_path(path) as temporary:
        sort_metrics(frame).to_csv(temporary, index=False, lineterminator="\n")


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write a table for readers atomically as CSV, floats rounded to six decimals."""
    with atomic_path(path) as temporary:
        table.round(6).to_csv(temporary, index=False, lineterminator="\n")


def summarise(frame: pd.DataFrame, by: Sequence[str] = SUMMARY_KEY) -> pd.DataFrame:
    """Return mean and 95% confidence interval of every group of rows with equal `by`.

    The columns are those of `by`, then `mean`, `half_width`, `n_episodes` and `n_seeds`. The interval is
    mean +- half_width; Student's t has no bounds, so it may reach beyond [0, 1].

    Episodes are nested in seeds: those of one seed share its reserved classes, splits and models, so together
    they tell less about the method than as many episodes of different seeds would. Hence
    - one seed: the mean over episodes, Student's t over them with n_episodes - 1 degrees of freedom. The interval
      is about further episodes with this seed's models;
    - several seeds: the mean over seeds of each seed's mean, Student's t over these with n_seeds - 1 degrees of
      freedom. The interval is about further seeds; more episodes alone cannot make it arbitrarily narrow.
    With a single episode (of a single seed) there is no interval: `half_width` is NaN.

    The default `by` keeps clients apart. Without "client", clients are pooled: episode 3 of client 2 and episode 3
    of client 4 are two episodes with draws of their own, and count as two. Rows of one seed, client and episode
    that fall into one group (as when `by` lacks "case" or "metric") are averaged first and count as one episode,
    so that pooling never narrows an interval by counting one episode twice.
    """
    by = list(by)
    episodes = frame.groupby(list(dict.fromkeys([*by, "seed", "client", "episode"])), dropna=False)["value"].mean()
    in_seeds = episodes.groupby(list(dict.fromkeys([*by, "seed"])), dropna=False).agg(["mean", "std", "count"])
    groups = in_seeds.groupby(by, dropna=False).agg(
        mean=("mean", "mean"),
        between_seeds=("mean", "std"),
        between_episodes=("std", "first"),
        n_episodes=("count", "sum"),
        n_seeds=("count", "size"),
    )
    several = groups.n_seeds > 1
    deviation = groups.between_seeds.where(several, groups.between_episodes)
    samples = groups.n_seeds.where(several, groups.n_episodes)
    quantile = stdtrit(np.maximum(samples - 1, 1), (1 + CONFIDENCE) / 2)
    groups.insert(1, "half_width", quantile * deviation / np.sqrt(samples))
    return groups.drop(columns=["between_seeds", "between_episodes"]).reset_index()


def lift(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the attack's lift: attack accuracy of the attacked model minus that of the clean model, its floor.

    The difference is taken episode by episode, so the draws that both models share cancel out. The rows are like
    those of `frame`, with model "attacked", metric `attack_training_lift` or `attack_validation_lift` and value in
    [-1, 1]; `summarise` treats them like accuracies.

    Raises FedmetaError if a row of one model has no partner of the other.
    """
    attack = frame[frame.metric.isin(ATTACK_METRICS)]
    pair = [column for column in KEY if column != "model"]
    models = [attack.loc[attack.model == model, [*pair, "value"]] for model in ALLOWED["model"]]
    both = models[0].merge(
        models[1], on=pair, how="outer", suffixes=("_attacked", "_clean"), indicator=True, validate="one_to_one"
    )
    alone = both[both["_merge"] != "both"]
    if len(alone):
        present, absent = ("attacked", "clean") if alone["_merge"].iloc[0] == "left_only" else ("clean", "attacked")
        name = ", ".join(str(part) for part in alone[pair].iloc[0])
        raise FedmetaError(
            f"{len(alone)} attack accuracies lack their partner, the first of the {present} model at ({name}): "
            f"evaluate the {absent} model on the same episodes"
        )
    both = both.assign(model="attacked", metric=both.metric + "_lift", value=both.value_attacked - both.value_clean)
    return sort_metrics(both)


def summary_table(frame: pd.DataFrame, by: Sequence[str] = SUMMARY_KEY) -> pd.DataFrame:
    """Return `summarise` of all accuracies and of their lift in one tidy table, a row for each group of equal `by`."""
    return summarise(pd.concat([frame, lift(frame)], ignore_index=True), by)


def with_interval(mean: float, half_width: float, decimals: int = 0, sign: str = "") -> str:
    """Return a mean, a fraction, in percent or points with half of its interval where there is one: 93±2, +4±1."""
    number = round(100 * mean, decimals) + 0.0  # no -0
    return f"{number:{sign}.{decimals}f}" + ("" if math.isnan(half_width) else f"±{100 * half_width:.0f}")


def each_row(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows as named tuples, typed as Any because no type describes their columns."""
    yield from frame.itertuples()


def _read_text(path: str | os.PathLike, columns: Sequence[str]) -> pd.DataFrame:
    """Return the CSV file's fields as text, after checks that it is whole and has these columns."""
    try:
        content = Path(path).read_bytes()
        if not content.endswith(b"\n"):
            raise FedmetaError(f"{path} is {'cut off' if content else 'empty'}: delete it and run again")
        text = pd.read_csv(path, dtype="str", na_filter=False, skip_blank_lines=False)
    except FileNotFoundError as error:
        raise FedmetaError(f"{path} does not exist: run its evaluation first") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FedmetaError(f"{path} is not a table of metrics: delete it and run again") from error
    missing = [column for column in columns if column not in text.columns]
    unknown = [column for column in text.columns if column not in columns]
    if missing or unknown:
        wrong = f"lacks the columns {', '.join(missing)}" if missing else f"has unknown columns {', '.join(unknown)}"
        raise FedmetaError(f"{path} {wrong}: delete it and run again")
    # pandas takes surplus fields for row names instead of refusing them.
    if not isinstance(text.index, pd.RangeIndex):
        raise FedmetaError(f"{path} has rows with too many fields: delete it and run again")
    if text.empty:
        raise FedmetaError(f"{path} has no rows: delete it and run again")
    return text


def _parse(text: pd.DataFrame, path: str | os.PathLike) -> pd.DataFrame:
    """Return the fields as `DTYPES`, each checked against what its column allows."""
    natural = "[0-9]{1,18}"
    number = {column: pd.to_numeric(text[column], errors="coerce") for column in ("delta", "value")}
    legal = {
        **{column: text[column] != "" for column in ("dataset", "experiment")},
        **{column: text[column].isin(values) for column, values in ALLOWED.items()},
        **{column: text[column].str.fullmatch(natural) for column in ("seed", "step", "episode")},
        "client": text.client.str.fullmatch(f"({natural})?"),
        "delta": number["delta"].between(0, 1) | (text.delta == ""),
        "value": number["value"].between(0, 1),
    }
    for column, rows in legal.items():
        if not rows.all():
            row = int(np.argmin(rows))
            raise FedmetaError(
                f"{path}, line {row + 2}: {column} cannot be '{text[column].iloc[row]}': delete the file and run again"
            )
    client = text.client.where(text.client != "", None).astype("Int64")
    return text.assign(client=client, **number).astype(DTYPES)[COLUMNS]
