import pytest
from helpers.random_bank import make_bank
from helpers.split_settings import split_settings

from fedmeta.data.requirements import require_enough
from fedmeta.data.split_drawing import draw_split
from fedmeta.data.splits import Split
from fedmeta.errors import FedmetaError
from fedmeta.settings.sections import Evaluation, Reptile

SPLIT = {
    **{"meta_training_classes": 12, "meta_testing_classes": 6, "validation_examples": 5, "target": "class 3"},
    **{"backdoor": ["class 8"], "benign": 10, "attacker_target": 5, "attack_training": 5, "attack_validation": 5},
}


def settings_of(split, shot, test_shot, cases):
    evaluation = Evaluation.model_construct(shot=test_shot, cases=tuple(cases))
    values = {"users": 4, "attacker": 1, **split}
    return split_settings(values, reptile=Reptile.model_construct(shot=shot), evaluation=evaluation)


def check(examples=20, reserved="shared", cases="abc", shot=10, test_shot=5, **split):
    """Check a split of classes that have so many `examples`."""
    bank = make_bank(20, examples)
    settings = settings_of({**SPLIT, "reserved": reserved, **split}, shot, test_shot, cases)
    require_enough(bank, Split(draw_split(bank.classes, settings, seed=1), bank), settings)


@pytest.mark.parametrize(
    ("enough", "too_few", "what"),
    [
        ({"examples": 20}, {"examples": 19}, "reserved classes: class class 8 has only 9 examples for it, 10 are"),
        (
            {"cases": "a", "benign": 6},
            {"cases": "b", "benign": 6},
            "reserved classes: class class 3 has only 6 .* 10 are",
        ),
        (
            {"cases": "a", "benign": 6, "validation_examples": 0, "shot": 6},
            {"cases": "a", "benign": 5, "validation_examples": 0, "shot": 6},
            "reserved classes: class class 3 has only 5 .* 6 are",
        ),
        (
            {"cases": "a", "benign": 5},
            {"cases": "a", "benign": 4},
            "reserved classes: class class 3 has only 4 .* 5 are",
        ),
        (
            {"cases": "a", "examples": 33, "reserved": "divided", "benign": 15},
            {"cases": "a", "examples": 33, "reserved": "divided", "benign": 14},
            "reserved classes: class class 3 has only 4 .* 5 are",
        ),
        (
            {"validation_examples": 10},
            {"validation_examples": 11},
            r"meta-training: class class \d+ has only 9 .* 10 are",
        ),
        ({"test_shot": 9}, {"test_shot": 10}, "reserved classes: class class 8 has only 10 examples .* 11 are"),
        (
            {"cases": "a", "benign": 20, "examples": 40, "test_shot": 19},
            {"cases": "a", "benign": 30, "examples": 40, "test_shot": 36},
            r"meta-training: class class \d+ has only 35 .* 36 are",
        ),
    ],
)
def test_a_class_with_too_few_examples_is_named_and_one_with_enough_is_not(enough, too_few, what):
    check(**enough)
    with pytest.raises(FedmetaError, match=f"{what} needed: give the class more, or lower the shot"):
        check(**too_few)


def test_meta_testing_classes_need_a_query_beside_the_support():
    bank = make_bank(20, 20)
    short = bank.classes[4]._replace(meta_testing=1, extra=15)  # 5 of its own
    bank.classes = tuple(short if k == 4 else c._replace(meta_testing=int(k > 14)) for k, c in enumerate(bank.classes))
    enough, too_many = (settings_of({**SPLIT, "reserved": "shared"}, 10, shot, "a") for shot in (4, 5))
    split = Split(draw_split(bank.classes, enough, seed=1), bank)
    require_enough(bank, split, enough)
    with pytest.raises(FedmetaError, match="meta-testing: class class 4 has only 5 examples for it, 6 are needed"):
        require_enough(bank, split, too_many)
