"""What the stages of Experiments 2 and 3 share: a client adapts the attacked model and, for the floor, the clean."""

import evaluation_stage


def mix_of(job):
    """Return the job's Glorot mix; its draws are of the set of evaluation episodes, like the episodes."""
    from fedmeta.defences.glorot_mix import GlorotMix

    settings = job.params.settings
    seed = (job.params.seed, settings["evaluation"]["episode_seed"])
    return GlorotMix(job.params.delta, settings["glorot_mix"]["norms"], seed)


def fresh_start(job, path: str, network):
    """Return a model to be mixed: Adam starts anew, for its state belongs to the model before the mix."""
    import training_stage

    from fedmeta.learning.engine import Start

    return Start.fresh(training_stage.read_model(path, network).shared)


def write_table(job, experiment: str, learner_of, start_of, iterations: list[int]) -> None:
    """Write the job's table of metrics: both models, adapted as `learner_of(network)` says, at the `iterations`.

    `start_of(job, path, network)` returns the model of a file as `fedmeta.learning.engine.Start`.
    """
    from fedmeta.evaluation import write_measurements

    models = ("attacked", "clean")

    def starts(network):
        return [start_of(job, job.input[model], network) for model in models]

    columns = {"defence": job.params.defence, "delta": job.params.delta}
    rows = [
        evaluation_stage.row_of(job, experiment, each, model=models[each.model], step=each.observed, **columns)
        for each in evaluation_stage.measure(job, learner_of, starts, iterations)
    ]
    write_measurements(job.output[0], rows)
