"""Options of aggregations that cannot be, by themselves or with so many users a round, are one line."""

import pytest
import torch
from helpers.aggregations import ROBUST, aggregate, draw
from helpers.setups import settings

from fedmeta.errors import FedmetaError
from fedmeta.settings import check, lay, with_table


def complaint(selected, **options):
    """Return the line about an aggregation with so many users a round."""
    federation = {"users": 60, "selected": selected, "aggregation": options}
    try:
        check(lay(with_table(settings()), {"federation": federation}))
    except FedmetaError as error:
        return str(error)
    return ""


LEAST = {"krum": lambda f: 2 * f + 3, "multi_krum": lambda f: 2 * f + 3}


@pytest.mark.parametrize("f", [0, 1, 3])
@pytest.mark.parametrize("method", ROBUST)
def test_an_impossible_n_and_f_is_one_line_and_the_least_n_is_possible(method, f):
    least = LEAST.get(method, lambda f: 2 * f + 1)(f) + (method == "minimum_diameter" and f == 0)
    assert complaint(least, method=method, attackers=f) == ""
    updates = {user: draw(0, max(least, 2))[user] for user in range(1, least + 1)}
    made = aggregate(method, updates, attackers=f, before=["nearest_neighbour_mixing"])
    assert torch.isfinite(made.shared).all()
    if least > 1:
        line = complaint(least - 1, method=method, attackers=f)
        assert line.startswith(f"config: federation.aggregation.attackers: f = {f} is too many for {method} with n = ")
        assert line.endswith(f"raise federation.selected to {least}") and "\n" not in line


@pytest.mark.parametrize(
    ("selected", "options", "line"),
    [
        (3, {"method": "multi_krum", "attackers": 0, "kept": 4}, "kept: a round has only 3 updates"),
        (50, {"method": "minimum_diameter", "attackers": 5}, "attackers: 50 choose 5 is more than 10000 sets to try"),
        (3, {"method": "monna", "trusted": 61}, "trusted: there is no user 61"),
        (1, {"method": "flame"}, "method: flame compares updates with one another: raise federation.selected to 2"),
        (
            3,
            {"method": "median", "before": ["mixing"]},
            "before: must be a list of nearest_neighbour_mixing or clipping",
        ),
        (3, {"method": "median", "before": ["clipping"] * 2}, "before: clipping is given twice"),
    ],
)
def test_options_that_cannot_be_are_one_line(selected, options, line):
    assert complaint(selected, **options).startswith(f"config: federation.aggregation.{line}")
