"""The one-shot attack: one round in which the attacker trains on poisoned episodes and boosts its update.

Inputs: images, classes, split, the attack's training set (keyed, keyed_classes), the pre-trained model. Output: the
shared model after the attacked round.
"""

import stage
import training_stage


def main(job) -> None:
    from fedmeta.attacks.one_shot import attacked_round, inner_steps
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.episodes import AttackEpisodes, EpisodeShape
    from fedmeta.federation.rounds import LocalTraining

    training = training_stage.open_stage(job, "attacked round")
    attack, federated, reptile = (training.settings[key] for key in ("attack", "federation", "reptile"))
    keyed = ImageBank.open(job.input.keyed, job.input.keyed_classes)
    steps = inner_steps(attack["inner_epochs"], reptile["way"], reptile["shot"], reptile["inner_batch"])
    shape = EpisodeShape(reptile["way"], reptile["shot"], steps, reptile["inner_batch"])
    attacker = federated["attacker"]
    poisoned_episodes = AttackEpisodes(
        training.bank,
        training.split.training(attacker),
        training.split.target_attacker(),
        keyed,
        tuple(attack["backdoor_to_target"]),
        attack["target_output"],
        shape,
        training.seed,
        training.name,
    )
    poisoned = LocalTraining(
        "attacker", attack["meta_steps"], attack["meta_batch"], attack["outer_learning_rate"], attack["boost"]
    )
    after = training.settings["meta_train_after"]
    benign = {
        user: training.benign(user, after["meta_steps"], after["outer_learning_rate"])
        for user in training.select(0, federated["selected"] - 1)
    }

    beginning = training_stage.read_model(job.input.model, training.network)
    samplers = {"attacker": poisoned_episodes, **training.benign_samplers()}
    rounds = [attacked_round(attacker, poisoned, benign)]
    training_stage.make_model(job, training, beginning, rounds, samplers)


if __name__ == "__main__":
    stage.run(main, snakemake)  # noqa: F821 (Snakemake provides it)
