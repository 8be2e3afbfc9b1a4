"""The stages between raw images and tables of accuracies: where each keeps its results, and what they are made from.

`settings` are the config's keys that a stage reads, `from_` the stages whose results it reads; a stage with `{model}`
in its paths reads one of those in `MODELS`.
"""

from typing import NamedTuple

PREPARED = "data/prepared/{scenario}/{dataset}"
SEEDED = f"{PREPARED}/seed-{{seed}}"
RUN = "results/{scenario}/{dataset}/seed-{seed}/{scope}"

LEARNING = ("engine", "model", "federation", "reptile")
EVALUATION = (
    *("engine", "model", "reptile.way", "reptile.inner_batch", "reptile.inner_learning_rate", "reptile.beta2"),
    *("reptile.adam", "evaluation.episodes", "evaluation.episode_seed", "evaluation.shot", "evaluation.queries"),
    *("evaluation.target_output", "evaluation.cases"),
)


class Stage(NamedTuple):
    """A stage; `outputs` are its files by name, in a folder with wildcards."""

    folder: str
    outputs: dict[str, str]
    from_: tuple[str, ...]
    settings: tuple[str, ...]


KEYED = {
    f"{role}{suffix}": f"{role}.{ending}"
    for role in ("attack_training", "attack_validation")
    for suffix, ending in (("", "npy"), ("_classes", "csv"))
}
STAGES = {
    "resize": Stage(PREPARED, {"images": "resized.npy", "classes": "resized.csv"}, (), ("data.size",)),
    "augment": Stage(PREPARED, {"images": "images.npy", "classes": "images.csv"}, ("resize",), ("data.rotations",)),
    "split": Stage(SEEDED, {"split": "split.csv"}, ("resize",), ("split", "federation.users", "federation.attacker")),
    "stamp": Stage(SEEDED, KEYED, ("augment", "split"), ("data.trigger",)),
    "pretrain": Stage(
        RUN,
        {"model": "pretrained.safetensors", "decisions": "pretrained.decisions.csv"},
        ("augment", "split"),
        (*LEARNING, "pretrain"),
    ),
    "attack": Stage(
        RUN,
        {"model": "attacked.safetensors", "decisions": "attacked.decisions.csv"},
        ("augment", "split", "stamp", "pretrain"),
        (*LEARNING, "data.trigger", "attack", "meta_train_after.meta_steps", "meta_train_after.outer_learning_rate"),
    ),
    "meta_train_after": Stage(
        RUN,
        {"model": "after.safetensors", "decisions": "after.decisions.csv"},
        ("augment", "split", "stamp", "attack"),
        (*LEARNING, "data.trigger", "attack", "meta_train_after"),
    ),
    "evaluate": Stage(
        RUN,
        {"table": "evaluate/client-{client}.csv"},
        ("augment", "split", "stamp", "pretrain", "attack", "meta_train_after"),
        (*EVALUATION, "evaluation.rounds", "evaluation.inner_steps"),
    ),
    "repair": Stage(
        RUN,
        {"model": "repair/{defence}/client-{client}/{model}.safetensors"},
        ("augment", "split", "pretrain", "attack"),
        ("engine", "model", "reptile"),
    ),
    "adapt": Stage(
        RUN,
        {"table": "adapt/{defence}/client-{client}/{model}.csv"},
        ("augment", "split", "stamp", "pretrain", "attack"),
        EVALUATION,
    ),
    "detail": Stage(
        RUN,
        {
            "keyed": "detail/{defence}/client-{client}/{model}.csv",
            "episode": "detail/{defence}/client-{client}/{model}.safetensors",
        },
        ("augment", "split", "stamp", "pretrain", "attack"),
        EVALUATION,
    ),
}

MODELS = {"pretrained": "pretrain", "attacked": "attack"}  # what a client adapts, and the stage that makes it
TRAINING = ("pretrain", "attack", "meta_train_after")  # in rounds of the federation
ADAPTED = ("adapt", "detail")  # of a model that a client adapts, repaired first if the defence says so
CLIENTS_OWN = ("repair", *ADAPTED)  # what a client does with a model in a defence


def before(stage: str, model: str) -> list[str]:
    """Return the stages whose results a stage reads; `model` names the one that a client adapts, if it does."""
    others = {made_by for name, made_by in MODELS.items() if name != model} if stage in CLIENTS_OWN else set()
    return [each for each in STAGES[stage].from_ if each not in others]


def path_of(stage: str, output: str = "") -> str:
    """Return the pattern of an output of a stage: the one named, or the first."""
    folder, outputs, _, _ = STAGES[stage]
    return f"{folder}/{outputs[output] if output else next(iter(outputs.values()))}"


def outputs_of(stage: str) -> dict[str, str]:
    """Return the patterns of a stage's outputs by name, for its rule."""
    return {name: path_of(stage, name) for name in STAGES[stage].outputs}


def log_of(stage: str) -> str:
    """Return the pattern of the log of a stage, which has the wildcards of its outputs."""
    place = path_of(stage).removeprefix("data/prepared/").removeprefix("results/")
    folder, _, name = place.rpartition("/")
    last = f"/{name.rpartition('.')[0]}" if "{" in name else ""
    return f"logs/{stage}/{folder.replace(f'/{stage}/', '/').removesuffix(f'/{stage}')}{last}.log"


def benchmark_of(stage: str) -> str:
    """Return the pattern of the file with the run time of a stage."""
    return log_of(stage).replace("logs/", "logs/benchmarks/", 1).removesuffix(".log") + ".tsv"
