"""A client changes its model once, with its own data, before it adapts it to any task: with one repair or several.

Inputs: images, classes, split, the model. Output: the client's model, with its Adam state.
"""

import stage
import unpacking


def main(job) -> None:
    from fedmeta.checkpoints import Unfinished, write_tensors
    from fedmeta.data.prepared import open_split
    from fedmeta.defences.interface import Client, load_method, repaired
    from fedmeta.federation.client_models import client_model_to_named, read_client_model, read_private
    from fedmeta.federation.training import network_of
    from fedmeta.settings import part

    params, user, settings = job.params, job.params.client, part(job.params.settings)
    entries = params.repair if isinstance(params.repair, list) else [params.repair]
    methods = [load_method(entry, "repair") for entry in entries]
    first = unpacking.open_unfinished(job)
    for number in range(2, len(entries) + 1):
        job.unfinished.append(Unfinished(f"{job.output[0]}.{number}", first.key))
    bank, split = open_split(dict(job.input.items()))
    network, pool = network_of(bank, settings), split.benign(user, job.wildcards.scope == "included")
    model, private = read_client_model(job.input.model, network, user), read_private(job.input.model, user)
    for (repair, options), unfinished in zip(methods, job.unfinished, strict=True):
        client = Client(user, network, bank, pool, settings, params.seed, job.threads, unfinished, private)
        model = repaired(repair, model, client, options)
    made = unpacking.provenance(job, repair=params.repair)
    write_tensors(job.output[0], client_model_to_named(network, model, user), made)
    for unfinished in job.unfinished:  # until now each keeps its last steps, so that little has to be repeated
        unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
