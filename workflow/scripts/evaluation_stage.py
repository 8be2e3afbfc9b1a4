"""What the evaluation stages share. Separate from `unpacking.py`, so that training uses no code of evaluation."""


def open_client(job):
    """Return the client on whose episodes an evaluation job measures models."""
    from fedmeta.evaluation.measuring import EvaluatedClient
    from fedmeta.settings import part

    settings, params = part(job.params.settings), job.params
    files = dict(job.input.items())
    return EvaluatedClient.from_files(files, params.client, job.wildcards.scope, settings, params.seed, job.threads)
