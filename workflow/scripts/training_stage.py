"""What the training stages share: a job unpacked, and what they write."""

import unpacking


def open_stage(job, name: str, first_round: int = 1):
    """Return the training stage that the job describes."""
    from fedmeta.data.prepared import open_split
    from fedmeta.federation.training import Stage
    from fedmeta.settings import part

    bank, split = open_split(dict(job.input.items()))
    included, settings = job.wildcards.scope == "included", part(job.params.settings)
    return Stage(name, bank, split, job.params.seed, included, settings, job.threads, first_round)


def open_keyed(job):
    """Return the attack's training set."""
    from fedmeta.data.bank import ImageBank

    return ImageBank.open(job.input.keyed, job.input.keyed_classes)


def write(job, training, federation, tensors: dict) -> None:
    """Write the job's model file, with its provenance, and what the server decided."""
    from fedmeta.checkpoints import write_tensors
    from fedmeta.federation.decisions import write_decisions

    write_tensors(job.output[0], tensors, unpacking.provenance(job))
    write_decisions(job.output.decisions, training.name, training.first_round, federation.decisions)
