"""Secure aggregation: what reaches the server's code, what it makes of it, and what then still runs."""

import csv
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.setups import settings as default_settings
from helpers.stage_runs import JOBS, run_all
from safetensors.torch import load_file
from scipy import stats

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.federation import aggregation, server
from fedmeta.federation.aggregation import weighted_sum
from fedmeta.federation.rounds import Federation, LocalTraining, run_round
from fedmeta.federation.secure import RANGE, STEP, masked, unmasked_sum
from fedmeta.federation.server import Server
from fedmeta.learning.engine import Serial
from fedmeta.learning.reptile import Supervised
from fedmeta.settings import check, lay, with_table

OPTIONS = weighted_sum.Options(method="weighted_sum")


# The server's code; what users do is in the rounds and in `masked`.
OF_SERVER = {Path(server.__file__), *Path(aggregation.__file__).parent.glob("*.py")}


@contextmanager
def watched():
    """Record every vector that a function of the server's code has in any variable when it begins and when it ends."""
    seen = []

    def look(frame, event, _):
        if event in ("call", "return") and Path(frame.f_code.co_filename) in OF_SERVER:
            seen.extend((frame.f_code.co_name, vector) for vector in vectors_in(dict(frame.f_locals)))

    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def vectors_in(value):
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value.numpy() if isinstance(value, torch.Tensor) else value)
        yield from np.array(np.atleast_2d(array))
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ():
        yield from vectors_in(each)


def near(one, other):
    return one.shape == other.shape and np.allclose(one, other, atol=1e-6)


def looks_uniform(numbers):
    return stats.kstest(numbers / 2.0**64, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("secure", [True, False])
def test_no_single_update_reaches_the_code_of_the_server(network, samplers, secure):
    updates, alphas = {}, {1: 0.5, 2: 0.3, 3: 0.4}

    def plan(user):
        def update(shared, local):
            updates[user] = local - shared
            return updates[user]

        return LocalTraining(f"user {user}", 1, 2, 0.5, update)

    federation = Federation(network.initial(np.random.default_rng(1)))
    before, plans = federation.shared.clone(), {user: plan(user) for user in alphas}
    with Serial(Supervised(network, 1e-3), samplers) as engine, watched() as seen:
        run_round(engine, federation, plans, Server([*alphas.values()], OPTIONS, 1, "stage", secure), "carry")
    total = sum(alphas[user] * updates[user] for user in updates)
    torch.testing.assert_close(federation.shared, before + total, rtol=0, atol=1e-6)
    assert federation.decisions == [(0, user, pytest.approx(alpha)) for user, alpha in alphas.items()]

    masks = [vector for _, vector in seen if vector.dtype == np.uint64]
    in_fixed_point = [vector.view(np.int64) * STEP for vector in masks]
    found = [vector for _, vector in seen if vector.dtype != np.uint64] + in_fixed_point
    single = [factor * updates[user].numpy() for user in updates for factor in (1, alphas[user])]
    known = [each for each in single if any(near(vector, each) for vector in found)]
    sums = [name for name, vector in seen if near(vector, total.numpy())]
    if secure:
        assert {"aggregate", "_aggregate", "aggregate_masked"} <= set(sums), "the server's code was watched"
        assert not known and len({mask.tobytes() for mask in masks}) == 3
        assert all(looks_uniform(mask) for mask in masks)
    else:
        assert len(known) >= 3 and not masks, "without it, they do"


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e5])
@pytest.mark.parametrize("users", [2, 3, 8])
def test_the_sum_is_that_of_the_updates_within_half_a_step_for_each(users, scale):
    random = np.random.default_rng(users)
    updates = {user: torch.from_numpy(scale * random.normal(size=2000)) for user in range(1, users + 1)}
    shared = torch.from_numpy(random.normal(size=2000))
    for weight in (None, 0.7, [0.1 * user for user in updates]):
        own = Server(weight, OPTIONS, 5, "stage", True)
        sent = masked(updates, own.weights(updates), 5, "stage", 0)
        plain, secure = own.aggregate(shared, updates, {}, 0), own.aggregate_masked(shared, sent, {}, 0)
        assert (secure.shared - plain.shared).abs().max() <= (users / 2 + 0.01) * STEP + 1e-15 * scale * users
        assert secure.decisions == pytest.approx(plain.decisions)


def test_masks_are_other_ones_for_each_round_stage_seed_and_pair():
    """Nor do all but one of those who send give anything away."""
    updates = {user: torch.full((3000,), 0.1 * user, dtype=torch.float64) for user in (2, 5, 7)}
    alphas = dict.fromkeys(updates, 1.0)
    names = [(1, "stage", 0), (1, "stage", 1), (1, "other", 0), (2, "stage", 0)]
    every = [masked(updates, alphas, *name) for name in names]
    for k, sent in enumerate(every):
        torch.testing.assert_close(unmasked_sum(sent.values()), sum(updates.values()), rtol=0, atol=2 * STEP)
        for left_out in updates:
            assert looks_uniform(sent[left_out]) and abs((sent[left_out] & np.uint64(1)).mean() - 0.5) < 0.05
            assert looks_uniform(sum((sent[user] for user in updates if user != left_out), np.uint64(0)))
        for other in every[:k]:
            assert all(looks_uniform(sent[user] - other[user]) for user in updates)
    again = masked(dict(reversed(updates.items())), alphas, *names[0])
    assert all(np.array_equal(again[user], every[0][user]) for user in updates)


@pytest.mark.parametrize("value", [0.5 * RANGE, -1e30])
def test_an_update_too_large_for_the_fixed_point_is_one_line(value):
    updates = {4: torch.tensor([0.0, value]), 6: torch.zeros(2)}
    with pytest.raises(FedmetaError, match=r"^the update of user 4 is too large for secure aggregation .*boost"):
        masked(updates, {4: 1.0, 6: 1.0}, 1, "stage", 0)
    fitting = masked({4: torch.tensor([0.0, 0.499 * RANGE]), 6: updates[6]}, {4: 1.0, 6: 1.0}, 1, "stage", 0)
    assert unmasked_sum(fitting.values())[1].item() == pytest.approx(0.499 * RANGE)


def complaint(**federation):
    federation = {"users": 20, "selected": 9, "secure_aggregation": True, **federation}
    try:
        check(lay(with_table(default_settings()), {"federation": federation}))
    except FedmetaError as error:
        return str(error)
    return ""


def test_methods_that_look_at_single_updates_refuse_it_in_one_line():
    names = plugins.names("aggregation")
    refused = {name: complaint(aggregation={"method": name}) for name in names}
    assert [name for name in names if not refused[name]] == ["weighted_sum"] and len(names) > 10
    for name in set(names) - {"weighted_sum"}:
        assert refused[name].startswith(
            f"config: federation.secure_aggregation: {name} needs single updates, but the server learns only their sum"
        )
        assert "\n" not in refused[name]
        assert complaint(secure_aggregation=False, aggregation={"method": name}) == ""
    assert complaint(selected=1).startswith("config: federation.secure_aggregation: the sum of one update is that")


def test_a_method_of_ones_own_says_that_the_sum_is_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = "from fedmeta.settings.fields import MethodOptions\nclass Options(MethodOptions): pass\n"
    (tmp_path / "mine.py").write_text(source)
    assert "mine needs single updates" in complaint(aggregation={"method": "./mine.py"})
    (tmp_path / "mine.py").write_text(f"SUM_ONLY = True\n{source}")
    assert complaint(aggregation={"method": "./mine.py"}) == ""


def test_the_attack_and_defences_of_users_run_as_without_it(stages, stage_data, settings, tmp_path, monkeypatch):
    """The paper's argument for a defence by users: no single update is needed for it."""
    secure = {**settings, "federation": {**settings["federation"], "secure_aggregation": True}}
    made = {"plain": run_all(stages, stage_data, settings, tmp_path / "plain", "serial", 1)}
    monkeypatch.delattr(Server, "aggregate")  # by which the server would get single updates
    made["secure"] = run_all(stages, stage_data, secure, tmp_path / "secure", "serial", 1)
    assert made["secure"].keys() == made["plain"].keys() == JOBS.keys()
    first, second = (load_file(tmp_path / name / "pretrain.safetensors") for name in made)
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)
    for stage in ("pretrain", "attack", "meta_train_after"):
        tables = [(tmp_path / name / f"{stage}.decisions.csv").read_text() for name in made]
        assert tables[0] == tables[1]
    for defence in ("fine_tuning", "matching"):
        rows = list(csv.DictReader((tmp_path / "secure" / f"{defence}.csv").open()))
        assert {row["model"] for row in rows} == {"attacked"}
