"""What is measured: models over rounds of benign training (Experiment 1), and over a client's adaptation (2 and 3)."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fedmeta import plugins
from fedmeta.checkpoints import Unfinished
from fedmeta.defences.interface import Rates
from fedmeta.evaluation.columns import JOB_COLUMNS
from fedmeta.evaluation.measuring import EvaluatedClient, Measurement
from fedmeta.federation.client_models import read_client_model
from fedmeta.files import atomic_path
from fedmeta.learning.engine import Start
from fedmeta.learning.reptile import Learner, Supervised

Row = dict[str, Any]


def over_rounds(
    client: EvaluatedClient, clean: str, attacked: str, after: str, unfinished: Unfinished
) -> Iterator[Row]:
    """Yield the rows of Experiment 1: the accuracy of the shared model of each evaluated round, and its floor.

    `clean`, `attacked` and `after` are the model files before the attack (round 0), after the attacked round (1), and
    with the models of all later rounds. The floor is the clean model; it is the same in each round.
    """
    evaluation, reptile = client.settings.evaluation, client.settings.reptile
    models = {0: load_model(client, clean)}
    for number in evaluation.rounds:
        if number == 1:
            models[number] = load_model(client, attacked)
        elif number > 1:
            models[number] = load_model(client, after, f"round-{number}/")
    learner = Supervised(client.network, reptile.inner_learning_rate, reptile.beta2)
    for each in client.measurements(learner, models, [evaluation.inner_steps], unfinished):
        if each.model in evaluation.rounds:
            yield metrics_row(client, each, experiment="meta_training", model="attacked", step=each.model)
        for number in evaluation.rounds if each.model == 0 else ():
            yield metrics_row(client, each, experiment="meta_training", model="clean", step=number)


def over_iterations(
    client: EvaluatedClient, adapt: Callable, options: Any, model: str, path: str, unfinished: Unfinished
) -> Iterator[Row]:
    """Yield the rows of a defence: accuracy at iterations of the adaptation of a model (Experiments 2 and 3).

    `adapt`: the method's function `learner`, see `fedmeta.defences.interface`, with the method's `options`. `model`:
    what its column says: attacked, or clean for the floor; `path`: the model file.
    """
    learner, start = adapting(client, adapt, options, path)
    delta = getattr(options, "delta", None)
    columns = {"experiment": plugins.stem(options.method), "delta": None if isinstance(delta, tuple) else delta}
    for each in client.measurements(learner, {model: start}, options.iterations, unfinished):
        yield metrics_row(client, each, model=each.model, step=each.observed, **columns)


def adapting(client: EvaluatedClient, adapt: Callable, options: Any, path: str) -> tuple[Learner, Start]:
    """Return how a client adapts by a defence, and the model of a file as it starts; arguments as above."""
    reptile = client.settings.reptile
    learner = adapt(client.network, options, Rates(reptile.inner_learning_rate, reptile.beta2), client.seeds)
    return learner, load_model(client, path, learner=learner)


def load_model(client: EvaluatedClient, path: str, prefix: str = "", learner: Learner | None = None) -> Start:
    """Return a model with the Adam state that the client adapts it with.

    It is that of its meta-training, unless Adam is reset in each episode (`reptile.adam`) or by the `learner`.
    """
    model = read_client_model(path, client.network, client.user, prefix)
    goes_on = client.settings.reptile.adam != "reset" and (learner is None or learner.keeps_adam)
    return model if goes_on else Start.fresh(model.parameters)


def metrics_row(client: EvaluatedClient, measurement: Measurement, **columns: Any) -> Row:
    """Return a row of the metrics, without data set: `columns` is what neither the measurement nor the client knows."""
    return {
        "seed": client.seed,
        "case": measurement.case,
        "client": client.user,
        "episode": measurement.episode,
        "metric": measurement.metric,
        "value": measurement.value,
        **columns,
    }


def write_measurements(path: str | os.PathLike, dataset: str, rows: Iterable[Row]) -> None:
    """Write rows of a data set with the columns of `JOB_COLUMNS` as CSV; missing values are empty."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, JOB_COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows({"dataset": dataset, **row} for row in rows)
