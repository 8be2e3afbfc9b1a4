"""What the evaluation stages share."""

import data_stage
import training_stage


def measure(job, learner_of, starts_of, observe: list[int]):
    """Yield the measurements of an evaluation job.

    `learner_of(network)` returns how a model adapts to an episode, `starts_of(network)` the models, each as
    `fedmeta.learning.engine.Start`; `observe` are the iterations at which accuracy is measured.
    """
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.episodes import EpisodeShape, EvaluationData
    from fedmeta.evaluation import cases_of, evaluation_samplers, measure
    from fedmeta.federation.training import network_of
    from fedmeta.learning.choice import choose_engine

    settings, client = job.params.settings, job.params.client
    evaluation, reptile = settings["evaluation"], settings["reptile"]
    bank, split = data_stage.open_data(job)
    keyed = [
        ImageBank.open(job.input[role], job.input[f"{role}_classes"])
        for role in ("attack_training", "attack_validation")
    ]
    shape = EpisodeShape(reptile["way"], evaluation["shot"], max(observe), reptile["inner_batch"])
    cases = cases_of(job.wildcards.scope, evaluation["cases"])
    seed = (job.params.seed, evaluation["episode_seed"])
    data = EvaluationData.of_client(bank, split, keyed, client)
    target_output = evaluation["target_output"]
    samplers = evaluation_samplers(data, cases, target_output, shape, evaluation["queries"], seed)
    network, unfinished = network_of(bank, settings), training_stage.open_unfinished(job)
    with choose_engine(settings["engine"], learner_of(network), samplers, job.threads, 64, 1) as engine:
        yield from measure(
            engine, starts_of(network), cases, client, evaluation["episodes"], sorted(observe), unfinished
        )
    unfinished.remove()


def start_of(job, path: str, network, prefix: str = ""):
    """Return a model and the client's Adam state in it, as evaluation starts from them."""
    from fedmeta.learning.engine import Start

    federation = training_stage.read_model(path, network, prefix)
    if job.params.settings["reptile"]["adam"] == "reset":
        return Start.fresh(federation.shared)
    return federation.start_of(job.params.client, federation.shared)


def row_of(job, experiment: str, measurement, **columns) -> dict:
    """Return a row of the table of metrics."""
    return {
        "dataset": job.wildcards.dataset,
        "seed": job.params.seed,
        "experiment": experiment,
        "case": measurement.case,
        "client": job.params.client,
        "episode": measurement.episode,
        "metric": measurement.metric,
        "value": measurement.value,
        **columns,
    }
