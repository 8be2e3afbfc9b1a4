"""What the training stages share: a job unpacked, and what they write."""

import data_stage


def open_stage(job, name: str, first_round: int = 1):
    """Return the training stage that the job describes."""
    from fedmeta.federation.training import Stage
    from fedmeta.settings import part

    included, settings = job.wildcards.scope == "included", part(job.params.settings)
    return Stage(name, *data_stage.open_data(job), job.params.seed, included, settings, job.threads, first_round)


def open_keyed(job):
    """Return the attack's training set."""
    from fedmeta.data.bank import ImageBank

    return ImageBank.open(job.input.keyed, job.input.keyed_classes)


def open_unfinished(job):
    """Return the place of the job's work in progress, keyed by its params and the contents of its inputs."""
    from fedmeta.checkpoints import Unfinished, fingerprint

    return Unfinished(job.output[0], fingerprint(dict(job.params.items()), job.input))


def write(job, training, federation, tensors: dict) -> None:
    """Write the job's model file, with its provenance, and what the server decided."""
    from fedmeta.checkpoints import write_tensors
    from fedmeta.federation.decisions import write_decisions

    # The engine is a matter of speed: those of the CPU give the same bytes.
    settings = {section: values for section, values in job.params.settings.items() if section != "engine"}
    # Equal stages of several scenarios are made once, for any of them.
    wildcards = {name: value for name, value in job.wildcards.items() if name != "scenario"}
    provenance = {"stage": job.rule, "wildcards": wildcards, "settings": settings}
    write_tensors(job.output[0], tensors, provenance)
    write_decisions(job.output.decisions, training.name, training.first_round, federation.decisions)
