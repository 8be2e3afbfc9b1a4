"""Which config keys rules read, where several rules read the same ones."""

# What training depends on beside keys of its own.
LEARNING = ["engine", "model", "federation", "reptile"]
# What every evaluation depends on.
EVALUATION = [
    "engine",
    "model",
    "reptile.way",
    "reptile.inner_batch",
    "reptile.inner_learning_rate",
    "reptile.beta2",
    "reptile.adam",
    "evaluation.episodes",
    "evaluation.episode_seed",
    "evaluation.shot",
    "evaluation.queries",
    "evaluation.target_output",
    "evaluation.cases",
]
# At which scale a run was, beside the paper's: for the comparison with its numbers.
SCALE = [
    "data.size",
    "federation.selected",
    "model.filters",
    "reptile.way",
    "reptile.shot",
    "reptile.inner_batch",
    "reptile.meta_batch",
    "reptile.inner_learning_rate",
    "pretrain.rounds",
    "pretrain.meta_steps",
    "pretrain.outer_learning_rate",
    "attack.meta_steps",
    "attack.meta_batch",
    "attack.inner_epochs",
    "attack.outer_learning_rate",
    "meta_train_after.rounds",
    "meta_train_after.meta_steps",
    "evaluation.episodes",
    "evaluation.cases",
    "fine_tuning.iterations",
    "glorot_mix.norms",
    "matching.gates",
    "matching.scales",
]
