"""A split with several attackers: they share what one would have, and no benign user is one of them."""

import pytest
from helpers.split_settings import split_settings

from fedmeta.data.bank import ImageClass
from fedmeta.data.split_drawing import draw_split

CLASSES = [ImageClass(f"letter {k}", 0, k, 20 * k, 20) for k in range(50)]
SETTINGS = {
    **{"users": 5, "meta_training_classes": 30, "meta_testing_classes": 10, "validation_examples": 5},
    **{"target": None, "backdoor": 4, "benign": 10, "attacker_target": 5, "attack_training": 5},
    **{"attack_validation": 5},
}


def draw(attacker, reserved="divided"):
    return draw_split(CLASSES, split_settings(SETTINGS | {"attacker": attacker, "reserved": reserved}), seed=1)


@pytest.mark.parametrize("reserved", ["shared", "divided"])
def test_one_attacker_in_a_list_is_one_attacker(reserved):
    assert draw([1], reserved) == draw(1, reserved)


def test_several_share_the_examples_that_one_would_have():
    one, several = draw(1, "shared"), draw([1, 3], "shared")
    attackers_own = ("attacker", "attack_training")
    assert {a.user for a in several if a.role in attackers_own} == {None}
    assert [a._replace(user=1) if a.role in attackers_own else a for a in several] == one


def test_benign_examples_are_divided_among_the_others():
    holders = {a.user for a in draw([1, 3]) if a.role == "benign"}
    assert holders == {2, 4, 5}
