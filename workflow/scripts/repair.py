"""A client changes its model once, with its own data, before it adapts it to any task.

Inputs: images, classes, split, the model. Output: the client's model, with its Adam state.
"""

import stage
import unpacking


def main(job) -> None:
    from fedmeta.checkpoints import write_tensors
    from fedmeta.data.prepared import open_split
    from fedmeta.defences.interface import Client, load_method, repaired
    from fedmeta.federation.client_models import client_model_to_named, read_client_model
    from fedmeta.federation.training import network_of
    from fedmeta.settings import part

    params, user, settings = job.params, job.params.client, part(job.params.settings)
    repair, options = load_method(params.repair, "repair")
    unfinished = unpacking.open_unfinished(job)
    bank, split = open_split(dict(job.input.items()))
    network, pool = network_of(bank, settings), split.benign(user, job.wildcards.scope == "included")
    client = Client(user, network, bank, pool, settings, params.seed, job.threads, unfinished)
    model = repaired(repair, read_client_model(job.input.model, network, user), client, options)
    made = unpacking.provenance(job, repair=params.repair)
    write_tensors(job.output[0], client_model_to_named(network, model, user), made)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
