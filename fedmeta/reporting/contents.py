"""What each figure shows, and the variants of the defence that figures ask for.

The workflow reads this to know what there is to evaluate, so nothing heavy is imported here.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Content(NamedTuple):
    """Rows of the metrics: an experiment and, by the columns `defence` and `delta`, a variant of it."""

    experiment: str
    defence: str = ""
    delta: float | None = None


PAPER_DELTA = 0.3

# By their numbers in the paper, which numbers the same experiment once for each data set (3 on Omniglot is 4 on
# mini-ImageNet). Here every figure can be drawn of every data set. {0} and {1} are `local_meta_training.episodes`.
FIGURES = {
    "3": Content("meta_training"),
    "4": Content("meta_training"),
    "5": Content("fine_tuning"),
    "6": Content("fine_tuning"),
    "7": Content("matching", "matching", PAPER_DELTA),
    "8": Content("matching", "matching", PAPER_DELTA),
    "A1": Content("matching", "matching", 0.6),
    "A2": Content("matching", "matching", 0.6),
    "A3": Content("matching", "matching", 0.4),
    "A4": Content("matching", "matching", 0.2),
    "A5": Content("matching", "matching_other_episodes", PAPER_DELTA),
    "A6": Content("fine_tuning", "glorot_mix", PAPER_DELTA),
    "A7": Content("fine_tuning", "glorot_mix", PAPER_DELTA),
    "A8": Content("fine_tuning", "glorot_mix_local_{0}", PAPER_DELTA),
    "A9": Content("matching", "matching_local_{0}", PAPER_DELTA),
    "A10": Content("fine_tuning", "glorot_mix_local_{1}", PAPER_DELTA),
    "A11": Content("matching", "matching_local_{1}", PAPER_DELTA),
}


class Ablation(NamedTuple):
    """The defence without one of its parts; `trained`: after the last iteration of fine-tuning, or before the first."""

    label: str
    content: Content
    trained: bool = True


# Without the Glorot mix delta is 1; before fine-tuning, gates and scales are what they start from.
ABLATIONS = (
    Ablation("full defence", FIGURES["7"]),
    Ablation("without gates", Content("matching", "matching_no_gates", PAPER_DELTA)),
    Ablation("without scales", Content("matching", "matching_no_scales", PAPER_DELTA)),
    Ablation("without warm-up", Content("matching", "matching_no_warm_up", PAPER_DELTA)),
    Ablation("without Glorot mix", Content("matching", "matching", 1.0)),
    Ablation("without fine-tuning", FIGURES["7"], trained=False),
    Ablation("no mix, no fine-tuning", Content("matching", "matching", 1.0), trained=False),
)

# How the shared model's kernels enter the Glorot mix, see `fedmeta.defences.glorot_mix`.
NORMS = ("shared", "fresh")

# Where the victim's task has the target class, see `evaluation.target_output`.
ORDERS = ("last", "random")

# What a variant of supervised fine-tuning, or of the matching network, changes in the settings of a run.
SUPERVISED_CHANGES = {f"target_{order}": {"evaluation": {"target_output": order}} for order in ORDERS}
MATCHING_CHANGES = {
    "matching_no_gates": {"matching": {"gates": False}},
    "matching_no_scales": {"matching": {"scales": False, "scale": 1.0}},
    "matching_no_warm_up": {"matching": {"warm_up": 0}},
    **{f"matching_{norms}_norms": {"glorot_mix": {"norms": norms}} for norms in NORMS},
}
CHANGES = {**SUPERVISED_CHANGES, **MATCHING_CHANGES}
VARIANTS = ("matching_other_episodes", *MATCHING_CHANGES)


def changes(defence: str, settings: Mapping) -> Mapping[str, Mapping]:
    """Return what the variant called `defence` changes in the settings, section by section."""
    if defence == "matching_other_episodes":
        return {"evaluation": {"episode_seed": settings["evaluation"]["other_episode_seed"]}}
    return CHANGES.get(defence, {})


def with_norms(norms: str, settings: Mapping) -> str:
    """Return the variant of the matching network whose Glorot mix has these norms."""
    return "matching" if norms == settings["glorot_mix"]["norms"] else f"matching_{norms}_norms"


def with_order(order: str, settings: Mapping) -> str:
    """Return the variant of supervised fine-tuning whose victim has the target at this output."""
    return "" if order == settings["evaluation"]["target_output"] else f"target_{order}"


def control_of(content: Content) -> Content | None:
    """Return the control of the matching network with the paper's delta: the same defence with delta 0, if it has one.

    With delta 0 nothing is left of the shared model, so that local meta-training of it makes no difference either.
    """
    if content.experiment != "matching" or content.delta != PAPER_DELTA:
        return None
    return content._replace(defence=content.defence.partition("_local_")[0], delta=0.0)


def contents_of(figure: str, settings: Mapping) -> list[Content]:
    """Return what must be evaluated for a figure, what it shows first; `settings` are those of its data set."""
    if figure == "ablation":
        return list(dict.fromkeys(ablation.content for ablation in ABLATIONS))
    if figure == "order":
        return [Content("fine_tuning", with_order(order, settings)) for order in ORDERS]
    if figure == "delta":
        deltas = settings["figure_delta"]["deltas"]
        return [Content("matching", with_norms(norms, settings), delta) for norms in NORMS for delta in deltas]
    content = FIGURES[figure]
    content = content._replace(defence=content.defence.format(*settings["local_meta_training"]["episodes"]))
    return [shown for shown in (content, control_of(content)) if shown]


def cases_of(figure: str, settings: Mapping) -> list[str]:
    """Return the cases that a figure shows."""
    evaluated = settings["evaluation"]["cases"]
    return [case for case in settings.get(f"figure_{figure}", {}).get("cases", evaluated) if case in evaluated]
