"""Benign meta-training after the attack.

Inputs: images, classes, split, the attacked model. Output: the shared model after each further round, `round-2` on.
"""

import stage
import training_stage


def main(job) -> None:
    from fedmeta.federation.models import to_named
    from fedmeta.federation.rounds import Federation

    training = training_stage.open_stage(job, "meta-training after")
    settings = training.settings["meta_train_after"]
    count = training.settings["federation"]["selected"]
    rounds = [
        {
            user: training.benign(user, settings["meta_steps"], settings["outer_learning_rate"])
            for user in training.select(number, count)
        }
        for number in range(settings["rounds"] - 1)
    ]

    unfinished = training_stage.open_unfinished(job)
    kept = unfinished.load() or {}
    models = {name: tensor for name, tensor in kept.items() if name.startswith("round-")}
    state = {name: tensor for name, tensor in kept.items() if name not in models}
    federation = (
        Federation.from_tensors(state) if kept else training_stage.read_model(job.input.model, training.network)
    )

    def save() -> None:
        unfinished.save_if_due(lambda: {**models, **federation.tensors()})

    for _ in training.train(federation, rounds, training.benign_samplers(), save):
        models.update(to_named(training.network, federation, f"round-{federation.round + 1}/"))
    training_stage.write_model(job, models)
    unfinished.remove()


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
