"""What a defence is judged by: the lift that it leaves under each attack, and the benefit that it keeps."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from fedmeta.errors import FedmetaError
from fedmeta.reporting.comparison import last_steps
from fedmeta.reporting.results import CONFIDENCE, lift, summarise

SAFE = 0.05  # the most lift, at the upper end of its interval, that a defence may leave
UNIT = ["seed", "client", "episode"]


def lifts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the lift left in each scenario at the end of a defence, a row for each scenario, by its name.

    `rows`: the metrics of one defence. The columns are `mean` and `half_width` (of the 95% interval) of the larger of
    two lifts, that of images that the attacker trained on and that of images it never saw; and `unsafe`, whether the
    upper end of the interval of either is above `SAFE`. Without an interval the mean decides.
    """
    each = summarise(lift(last_steps(rows)), ["scenario", "metric"])
    worse = each.loc[each.groupby("scenario")["mean"].idxmax()].set_index("scenario")[["mean", "half_width"]]
    unsafe = each["mean"] + each.half_width.fillna(0) > SAFE
    return worse.assign(unsafe=unsafe.groupby(each.scenario).any())


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Return meta-testing accuracy of the attacked model in each scenario, `mean` and `half_width`, as `lifts` does."""
    asked = last_steps(rows)
    asked = asked[(asked.metric == "meta_testing") & (asked.model == "attacked")]
    return summarise(asked, ["scenario"]).set_index("scenario")[["mean", "half_width"]]


def benefit_kept(rows: pd.DataFrame, scratch: pd.DataFrame, undefended: pd.DataFrame) -> tuple[float, float]:
    """Return (accuracy - scratch) / (undefended - scratch), of meta-testing, and the half width of its 95% interval.

    Each argument has the metrics of one defence on the same episodes: the defence itself, the same on a fresh network,
    and none. Accuracies are those of attacked models, averaged over scenarios. The interval is the jackknife's, over
    seeds or, for a single seed, over episodes; NaN if there is only one, or if the federation brings no benefit.

    Raises FedmetaError if they were not evaluated on the same episodes.
    """
    ours, fresh, best = (_by_unit(each) for each in (rows, scratch, undefended))
    if not (ours.index.equals(fresh.index) and ours.index.equals(best.index)):
        raise FedmetaError("a defence, its fresh network and no defence need the same episodes: evaluate all on them")
    return ratio(np.stack([ours - fresh, best - fresh]))


def ratio(pairs: np.ndarray) -> tuple[float, float]:
    """Return the ratio of two means and the half width of its 95% interval, by the jackknife over the units.

    `pairs`: (2, units), of the numerator and of the denominator. NaN if the latter is not above 0; the interval is also
    NaN if there is only one unit.
    """
    if pairs[1].sum() <= 0:
        return float("nan"), float("nan")
    count = pairs.shape[1]
    whole = pairs[0].sum() / pairs[1].sum()
    if count == 1:
        return float(whole), float("nan")
    without = pairs.sum(1, keepdims=True) - pairs
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = without[0] / without[1]
    deviation = np.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum())
    return float(whole), float(stdtrit(count - 1, (1 + CONFIDENCE) / 2) * deviation)


def share_left(rows: pd.DataFrame, first: int) -> pd.DataFrame:
    """Return what is left of the lift at each step from `first` on, as a share of that at `first`, by step.

    `rows`: the metrics of one case. The lift is the mean of both metrics'; the columns are `mean` and `half_width`
    (of the 95% interval, as in `ratio`).
    """
    each = lift(rows[rows.step >= first])
    unit = ["seed"] if each.seed.nunique() > 1 else UNIT
    table = each.groupby([*unit, "step"])["value"].mean().unstack("step")
    shares = {step: ratio(np.stack([table[step], table[first]])) for step in table}
    return pd.DataFrame.from_dict(shares, orient="index", columns=["mean", "half_width"])


def crossing(places: np.ndarray, heights: np.ndarray, level: float) -> float:
    """Return the first place at which a line through the points is at or below `level`; infinity if it never is."""
    below = np.flatnonzero(heights <= level)
    if not len(below):
        return float("inf")
    k = below[0]
    if k == 0:
        return float(places[0])
    share = (heights[k - 1] - level) / (heights[k - 1] - heights[k])
    return float(places[k - 1] + share * (places[k] - places[k - 1]))


def _by_unit(rows: pd.DataFrame) -> pd.Series:
    """Return mean meta-testing accuracy by seed or, for a single seed, by client and episode."""
    asked = last_steps(rows)
    asked = asked[(asked.metric == "meta_testing") & (asked.model == "attacked")]
    return asked.groupby(["seed"] if asked.seed.nunique() > 1 else UNIT)["value"].mean()
