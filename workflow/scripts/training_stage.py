"""What the training stages share."""

import data_stage


def open_stage(job, name: str):
    """Return the training stage that the job describes."""
    from fedmeta.federation.training import Stage

    included = job.wildcards.scope == "included"
    return Stage(name, *data_stage.open_data(job), job.params.seed, included, job.params.settings, job.threads)


def open_unfinished(job):
    """Return the place of the job's work in progress, keyed by its params and the contents of its inputs."""
    from fedmeta.checkpoints import Unfinished, fingerprint

    return Unfinished(job.output[0], fingerprint(dict(job.params.items()), job.input))


def make_model(job, training, beginning, rounds, samplers) -> None:
    """Take the federation through the rounds, from its beginning or from unfinished work, and write the job's model."""
    from fedmeta.federation.models import to_named
    from fedmeta.federation.rounds import Federation

    unfinished = open_unfinished(job)
    kept = unfinished.load()
    federation = Federation.from_tensors(kept) if kept else beginning
    for _ in training.train(federation, rounds, samplers, lambda: unfinished.save_if_due(federation.tensors)):
        pass
    write_model(job, to_named(training.network, federation))
    unfinished.remove()


def read_model(path: str, network, prefix: str = ""):
    """Return the federation's state in a model file, at the beginning of a stage."""
    from fedmeta.checkpoints import read_tensors
    from fedmeta.federation.models import from_named

    return from_named(network, read_tensors(path)[0], prefix)


def write_model(job, tensors: dict) -> None:
    """Write the job's model file, with its provenance."""
    from fedmeta.checkpoints import write_tensors

    # The engine is a matter of speed: those of the CPU give the same bytes.
    settings = {section: values for section, values in job.params.settings.items() if section != "engine"}
    provenance = {"stage": job.rule, "wildcards": dict(job.wildcards.items()), "settings": settings}
    write_tensors(job.output[0], tensors, provenance)
