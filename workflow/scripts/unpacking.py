"""What training and evaluation share: the place of unfinished work, and the provenance of models."""


def open_unfinished(job):
    """Return the place of the job's work in progress, keyed by its params and the contents of its inputs.

    `job.unfinished` lists it, so that what earlier runs took counts as the job's time.
    """
    from fedmeta.checkpoints import Unfinished, fingerprint

    job.unfinished = [Unfinished(job.output[0], fingerprint(dict(job.params.items()), job.input))]
    return job.unfinished[0]


def provenance(job, **more) -> dict:
    """Return what a model file says about the job that made it, and what `more` says.

    It leaves out the engine, which affects only speed (those of the CPU give the same bytes), and the names of scenario
    and defence: equal stages of several are made once, for all of them.
    """
    settings = {section: values for section, values in job.params.settings.items() if section != "engine"}
    wildcards = {name: value for name, value in job.wildcards.items() if name not in ("scenario", "defence")}
    return {"stage": job.rule, "wildcards": wildcards, "settings": settings, **more}
