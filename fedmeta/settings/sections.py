"""The config as types: type, bounds and meaning of every key, in the order of config.yaml.

The meaning of a key is also its comment in config.yaml; a test compares the two. Checks of several values *together*
are in `together.py`.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from fedmeta.settings.fields import (
    Case,
    Count,
    DefenceOptions,
    Each,
    FigureOptions,
    Label,
    Level,
    Method,
    Name,
    Number,
    Pair,
    Pixels,
    Positive,
    Rate,
    Section,
    Seed,
    Several,
    Shot,
    TargetOutput,
    path_without_braces,
)

# Entries of the tables, like `Method`: mappings in the config; in checked settings, options of their methods or kinds.
if TYPE_CHECKING:
    Defence = DefenceOptions
    Figure = FigureOptions
else:
    Defence = Figure = dict[str, Any]
REPTILE = "reptile"  # the paper's learner, the default
Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right", "centre"]
Colour = Annotated[tuple[Level, ...], Field(strict=False, min_length=1, max_length=3)]


class Trigger(Section):
    shape: Literal["square", "cross", "checkerboard"] = Field(description="square, cross or checkerboard")
    size: Annotated[int, Field(ge=1, le=1024)] = Field(description="side in pixels")
    position: Corner | Pair[Pixels] = Field(
        description="top-left, top-right, bottom-left, bottom-right, centre, or [row, column]"
    )
    margin: Pixels = Field(description="pixels between the key and the edges, in a corner")
    colour: Level | Colour = Field(
        description="0 to 255 (255 is ink on grey images, white on colour ones), or [red, green, blue]"
    )


class Data(Section):
    size: Annotated[int, Field(ge=16, le=1024)] = Field(description="side in pixels")
    rotations: Several[Literal[0, 90, 180, 270]] = Field(
        description="degrees; each rotation of a class is a class of its own"
    )
    trigger: Trigger = Field(description="the backdoor key")


class Split(Section):
    meta_training_classes: Count = Field(description="dealt to the users")
    meta_testing_classes: Count = Field(description="no user trains on them")
    validation_examples: Count = Field(description="held out from each meta-training class")
    target: Name | None = Field(
        description="class whose label the attacker wants for keyed images: its name, or null to draw one"
    )
    backdoor: Count | Several[Name] = Field(
        description="classes whose keyed images are to get the target's label: names, or how many to draw"
    )
    benign: Count = Field(description="examples of each reserved class that go to the benign users")
    attacker_target: Count = Field(description="clean examples of the target class that the attacker has")
    attack_training: Count = Field(
        description="examples of each backdoor class that the attacker keys and trains on (from extra/ if any)"
    )
    attack_validation: Count = Field(description="keyed examples that the attacker never sees, to measure the attack")
    reserved: Literal["shared", "divided"] = Field(
        description="shared: every benign user has all benign examples of reserved classes; divided: a part each"
    )


class Federation(Section):
    users: Annotated[int, Field(ge=2, le=10_000)] = Field(description="M, including the attacker")
    selected: Count = Field(description="M_r, users per round; the server waits for all their updates")
    attacker: Count | Several[Count] = Field(
        description="number of the attacking user, or a list of several; selected only in attacked rounds"
    )
    weight: Positive | Each[Positive] | None = Field(
        description="alpha: one number for all users, or a list with one for each; null: 1 / selected"
    )
    secure_aggregation: bool = Field(description="true: users mask their updates, and the server learns only their sum")
    aggregation: Method = Field(description="how the server turns the updates into one model")


class Model(Section):
    filters: Annotated[int, Field(ge=1, le=4096)] = Field(
        description="in each of the four convolutions; 64 in the paper"
    )
    batch_norm: Literal["batch", "running"] = Field(
        description="batch: statistics of the batch (at test, of the support set); running: moving averages"
    )


class Reptile(Section):
    way: Annotated[int, Field(ge=2, le=1000)] = Field(description="N, classes in an episode")
    shot: Shot = Field(
        description="K, training examples per class",
        json_schema_extra={"$comment": "the attacker mixes keyed and clean images in one class of an episode"},
    )
    inner_steps: Count = Field(description="e, gradient steps in an episode")
    inner_batch: Annotated[int, Field(ge=1, le=100_000)] = Field(description="b, examples in a step")
    inner_learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(description="eta, of Adam with beta1 = 0")
    beta2: Annotated[float, Field(gt=0, lt=1)] = Field(description="decay of Adam's second moment")
    adam: Literal["reset", "persist", "carry"] = Field(
        description="second moment: reset in each episode, persist from one to the next, or carry (see docs)"
    )
    meta_batch: Annotated[int, Field(ge=1, le=100_000)] = Field(description="B, episodes in a meta-step")
    learner: Method = Field(
        description="how a user learns from an episode",
        # Left out for Reptile: its jobs have the same settings as before there were other learners.
        exclude_if=lambda learner: getattr(learner, "method", None) == REPTILE,
    )


class Pretrain(Section):
    rounds: Count = Field(description="in total, all without the attacker")
    meta_steps: Count = Field(description="per selected user and round; E = meta_steps x meta_batch episodes")
    outer_learning_rate: Pair[Rate] = Field(description="epsilon, from the first to the last round")


class MetaTrainAfter(Section):
    rounds: Annotated[int, Field(ge=2, le=1_000_000)] = Field(description="in total; round 1 is the attacked one")
    meta_steps: Count = Field(description="per selected user and round, including the attacked round")
    outer_learning_rate: Rate = Field(description="epsilon of the benign users")


class Evaluation(Section):
    episodes: Count = Field(description="of each kind; 40 in the paper")
    episode_seed: Seed = Field(description="another number draws other evaluation episodes, without retraining")
    shot: Shot = Field(
        description="K, training examples per class",
        json_schema_extra={"$comment": "the matching network's leave-one-out training needs 2"},
    )
    inner_steps: Count = Field(description="e, to adapt the shared model of a round")
    queries: Count = Field(description="per class, or as many as are held out")
    target_output: TargetOutput = Field(
        description="last: where the attacker expects it (the paper); random: the victim orders its own classes"
    )
    rounds: Several[Number] = Field(description="evaluated rounds: 0 before the attack, 1 the attacked one")
    clients: Several[Count] = Field(description="benign users who evaluate and defend")
    cases: Several[Case] = Field(
        description="a: benign users have no backdoor or target class; b: they do; c: as b, also in fine-tuning"
    )


class Settings(Section):
    """The whole config; that of a data set has its overrides laid over the rest (`for_dataset`)."""

    datasets: Several[Name] = Field(
        description="one or more of: glyphs (embedded), omniglot, mini_imagenet, image_folder; each has figures",
        json_schema_extra={"$comment": "such as [glyphs]; the path of your own reader ends in .py"},
    )
    figures: Several[Number | Label] = Field(
        description="3 to 8 and A1 to A11 as in the paper, order, ablation, delta, glance, embedding, by-class, "
        "scenarios; only what they need is run"
    )
    raw_data: Annotated[Name, AfterValidator(path_without_braces)] = Field(
        description="folder of raw images, {raw_data}/omniglot/ and so on; omniglot is downloaded if missing"
    )
    seeds: Several[Seed] = Field(
        description="each seed redraws the reserved classes, the split, the initial weights and all training"
    )
    threads: Annotated[int, Field(ge=1, le=10_000)] = Field(
        description="maximum number of worker processes of a job; --cores caps it"
    )
    engine: Literal["serial", "workers", "batched", "batched-tf32", "auto"] = Field(
        description="how episodes run: serial, workers, batched (GPU), batched-tf32 (less exact products), or "
        "auto: batched on CUDA, else workers"
    )
    data: Data = Field(description="the images, and the key stamped on some")
    split: Split = Field(description="classes are counted before rotation")
    federation: Federation = Field(description="users are numbered from 1")
    model: Model = Field(description="Conv4")
    reptile: Reptile = Field(description="meta-training of a benign user")
    pretrain: Pretrain = Field(description="benign meta-training before the attack")
    attack: Method = Field(description="what the attacker does")
    meta_train_after: MetaTrainAfter = Field(description="benign meta-training after the attack")
    evaluation: Evaluation = Field(description="Experiment 1, and the episodes of all experiments")
    defences: dict[Label, Defence] = Field(
        description="what a benign user does alone with the received model; evaluated if a figure shows it"
    )
    figure_table: dict[Label, Figure] = Field(
        description="figures of your own by name: {mine: {kind: over_iterations, defences: [mine]}}"
    )
    overrides: dict[str, dict[Any, Any]] = Field(
        description="sections from data to figure_table, for one data set only: {omniglot: {pretrain: {rounds: 300}}}"
    )
    scenarios: dict[Label, dict[Any, Any] | None] = Field(
        description="settings side by side, by name: {strong: {attack: {boost: 5}}}"
    )
    grid: dict[Name, Annotated[list[Any], Field(min_length=1)]] = Field(
        description="a scenario for each value, or for each combination of them: {attack.boost: [1, 3]}"
    )


# The sections whose keys `overrides` and scenarios may set.
OVERRIDABLE = [*list(Settings.model_fields)[list(Settings.model_fields).index("data") :]]
OVERRIDABLE = [name for name in OVERRIDABLE if name not in ("overrides", "scenarios", "grid")]
