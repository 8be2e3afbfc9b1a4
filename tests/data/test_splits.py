from collections import Counter

import numpy as np
import pytest
import yaml
from helpers.project import ROOT
from helpers.split_settings import split_settings

from fedmeta.data.augment import rotate_classes
from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.data.split_drawing import draw_split
from fedmeta.data.splits import Assignment, Split, check_split, read_split, write_split
from fedmeta.errors import FedmetaError

CLASSES = [ImageClass(f"letter {k}", 0, k, 20 * k, 20) for k in range(50)]
SETTINGS = {
    "users": 4,
    "attacker": 1,
    "meta_training_classes": 30,
    "meta_testing_classes": 10,
    "validation_examples": 5,
    "target": None,
    "backdoor": 4,
    "benign": 10,
    "attacker_target": 5,
    "attack_training": 5,
    "attack_validation": 5,
    "reserved": "shared",
}


def by_class(assignments, kind):
    """Return {class: {role: set of examples}}."""
    found = {}
    for a in assignments:
        if a.kind == kind:
            found.setdefault(a.class_index, {}).setdefault(a.role, set()).add(a.example)
    return found


def bank_of(classes, rotations=(0,)):
    """Return a bank whose images tell their class and example by their first two pixels, rotated later."""
    images = np.zeros((sum(c.examples for c in classes), 4, 4, 1), np.uint8)
    for k, c in enumerate(classes):
        images[c.first : c.first + c.examples] = k
    images, rotated = rotate_classes(ImageBank(images, classes), rotations)
    return ImageBank(np.stack(list(images)), rotated)


@pytest.mark.parametrize("reserved", ["shared", "divided"])
def test_no_image_has_two_roles_and_counts_are_those_asked_for(reserved):
    split = draw_split(CLASSES, split_settings(SETTINGS | {"reserved": reserved}), seed=0)
    assert max(Counter((a.class_index, a.example) for a in split).values()) == 1
    training, testing = by_class(split, "training"), by_class(split, "meta_testing")
    target, backdoors = by_class(split, "target"), by_class(split, "backdoor")
    kinds = [set(training), set(testing), set(target), set(backdoors)]
    assert [len(k) for k in kinds] == [30, 10, 1, 4]
    assert len(set.union(*kinds)) == 45
    assert all(len(r["training"]) == 15 and len(r["validation"]) == 5 for r in training.values())
    assert all(r == {"meta_testing": set(range(20))} for r in testing.values())


def test_reserved_classes_give_their_examples_in_order():
    split = draw_split(CLASSES, split_settings(SETTINGS), seed=3)
    (target,) = by_class(split, "target").values()
    assert target == {
        "benign": set(range(10)),
        "attacker": set(range(10, 15)),
        "validation": set(range(15, 20)),
    }
    for roles in by_class(split, "backdoor").values():
        assert roles == {
            "benign": set(range(10)),
            "attack_training": set(range(10, 15)),
            "attack_validation": set(range(15, 20)),
        }


def test_users_hold_disjoint_and_even_shares():
    split = draw_split(CLASSES, split_settings(SETTINGS), seed=0)
    held = {user: {a.class_index for a in split if a.kind == "training" and a.user == user} for user in (1, 2, 3, 4)}
    assert sorted(len(classes) for classes in held.values()) == [7, 7, 8, 8]
    assert sum(map(len, held.values())) == len(set.union(*held.values()))


def test_the_seed_decides_and_other_settings_leave_reserved_classes_alone():
    first = draw_split(CLASSES, split_settings(SETTINGS), seed=1)
    assert first == draw_split(CLASSES, split_settings(SETTINGS), seed=1)
    other = draw_split(CLASSES, split_settings(SETTINGS | {"users": 3, "meta_training_classes": 20}), seed=1)
    assert by_class(first, "backdoor") == by_class(other, "backdoor")
    drawn = {tuple(by_class(draw_split(CLASSES, split_settings(SETTINGS), seed), "backdoor")) for seed in range(8)}
    assert len(drawn) > 4
    held_out = {frozenset(roles["validation"]) for roles in by_class(first, "training").values()}
    assert len(held_out) > 20, "held-out examples are drawn for each class anew"


def test_named_classes_are_taken():
    names = {"target": "letter 7", "backdoor": ["letter 9", "letter 2"]}
    split = Split(draw_split(CLASSES, split_settings(SETTINGS | names), seed=0), bank_of(CLASSES))
    assert split.names == ("letter 7", ["letter 9", "letter 2"])
    assert [rows[0] for rows in split.backdoor_benign(2)] == [180, 40]


def test_benign_examples_give_way_in_a_small_class():
    small = [c._replace(first=13 * k, examples=13) for k, c in enumerate(CLASSES)]
    split = draw_split(small, split_settings(SETTINGS), seed=0)
    for roles in by_class(split, "backdoor").values():
        assert [len(roles[r]) for r in ("benign", "attack_training", "attack_validation")] == [3, 5, 5]
    with pytest.raises(FedmetaError, match="10 examples, 10 of them for the attack"):
        draw_split([c._replace(examples=10) for c in small], split_settings(SETTINGS), seed=0)


def test_the_data_set_s_own_meta_testing_classes():
    own = set(range(38, 50))
    classes = [c._replace(meta_testing=int(k in own)) for k, c in enumerate(CLASSES)]
    split = draw_split(classes, split_settings(SETTINGS), seed=0)
    assert set(by_class(split, "meta_testing")) < own
    others = [set(by_class(split, kind)) for kind in ("training", "target", "backdoor")]
    assert own.isdisjoint(set.union(*others))
    with pytest.raises(FedmetaError, match=r"13 for meta-testing .* there are 33 and 12"):
        draw_split(classes, split_settings(SETTINGS | {"meta_testing_classes": 13}), seed=0)


@pytest.mark.parametrize("extra", [0, 4, 10, 30])
def test_extra_images_serve_the_attack_s_sets_alone(extra):
    classes = [c._replace(first=(20 + extra) * k, examples=20 + extra, extra=extra) for k, c in enumerate(CLASSES)]
    split = draw_split(classes, split_settings(SETTINGS | {"benign": 14, "attacker_target": 6}), seed=0)
    assert {(a.class_index, a.example) for a in split if a.extra} == {
        (k, e) for k in by_class(split, "backdoor") for e in range(20, 20 + extra) if e >= 10 + extra
    }
    assert all(a.role in ("attack_training", "attack_validation") for a in split if a.extra)
    for kind in ("training", "meta_testing"):
        assert {len(set.union(*roles.values())) for roles in by_class(split, kind).values()} == {20}
    (target,) = by_class(split, "target").values()
    assert target == {"benign": set(range(14)), "attacker": set(range(14, 20))}
    left_over = set(range(14, min(20, 10 + extra, 19)))
    for roles in by_class(split, "backdoor").values():
        assert roles == {
            "benign": set(range(min(14, 10 + extra))),  # they give way where there are too few extra ones
            "attack_training": set(range(10 + extra, 15 + extra)),
            "attack_validation": set(range(15 + extra, 20 + extra)),
            **({"validation": left_over} if left_over else {}),
        }


def test_the_roles_of_mini_imagenet_are_the_paper_s():
    """Section 3: 480 examples of a reserved class split among benign clients, 100 the attacker's, 150 additional."""
    config = yaml.safe_load((ROOT / "config/mini_imagenet.yaml").read_text())
    settings = config["split"] | {"users": 4, "attacker": 1}
    names = [f"n{k:08}" for k in range(82)] + ["n02120079", "n04612504"]
    for extra, benign in ((150, 480), (0, 450)):
        classes = [
            ImageClass(name, 0, k, 600 * k, 600 + extra * (name == "n04612504"), 20 <= k < 40, extra * (k == 83))
            for k, name in enumerate(names)
        ]
        split = draw_split(classes, split_settings(settings), seed=1)
        training, testing = by_class(split, "training"), by_class(split, "meta_testing")
        assert (len(training), set(testing)) == (62, set(range(20, 40)))
        assert all(len(roles["validation"]) == 20 for roles in training.values())
        (target,), (backdoor,) = by_class(split, "target").values(), by_class(split, "backdoor").values()
        held_out = {"validation": 20}
        assert {role: len(examples) for role, examples in target.items()} == {
            "benign": 480, "attacker": 100, **held_out,
        }  # fmt: skip
        assert {role: len(examples) for role, examples in backdoor.items()} == {
            "benign": benign, "attack_training": 100, "attack_validation": 50, **(held_out if extra else {}),
        }  # fmt: skip
        held = Counter(a.user for a in split if a.kind == "target" and a.role == "benign")
        assert held == {2: 160, 3: 160, 4: 160}
        assert Counter(a.role for a in split if a.extra) == (
            {"attack_training": 100, "attack_validation": 50} if extra else {}
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "leter 7"}, "no class named 'leter 7', the closest is 'letter 7'"),
        ({"target": "letter 7", "backdoor": ["letter 7"]}, "named twice"),
        ({"meta_training_classes": 36}, "36 classes for meta-training and 10 for meta-testing .* there are 35 and 10"),
        ({"backdoor": 50}, "51 target and backdoor classes are asked for, but there are only 50"),
        ({"meta_training_classes": 3}, "3 meta-training classes are too few for 4 users"),
        ({"validation_examples": 20}, "has 20 examples, validation_examples is 20"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(FedmetaError, match=message):
        draw_split(CLASSES, split_settings(SETTINGS | changes), seed=0)


def test_a_split_is_read_as_it_was_written(tmp_path):
    split = draw_split(CLASSES, split_settings(SETTINGS | {"reserved": "divided"}), seed=0)
    write_split(tmp_path / "split.csv", split)
    assert read_split(tmp_path / "split.csv") == split
    assert (tmp_path / "split.csv").read_text().startswith("class,example,kind,role,user,extra\n")


def test_a_broken_table_is_named(tmp_path):
    path = tmp_path / "split.csv"
    for text in ("", "class,example\n1,2\n", "class,example,kind,role,user,extra\n1,x,training,training,1,0\n"):
        path.write_text(text)
        with pytest.raises(FedmetaError, match=r"split\.csv is not a split table"):
            read_split(path)


def test_two_roles_for_one_image_are_found(tmp_path):
    twice = [Assignment(3, 4, "training", "training", 1), Assignment(3, 4, "training", "validation", 1)]
    with pytest.raises(FedmetaError, match="example 4 of class 3 has two roles"):
        check_split(twice)
    write_split(tmp_path / "split.csv", twice)
    with pytest.raises(FedmetaError, match="two roles"):
        read_split(tmp_path / "split.csv")


@pytest.mark.parametrize("reserved", ["shared", "divided"])
def test_pools_are_the_rows_of_the_rotated_bank(reserved):
    bank = bank_of(CLASSES, (0, 90, 180, 270))
    table = draw_split(CLASSES, split_settings(SETTINGS | {"reserved": reserved}), seed=0)
    split = Split(table, bank)

    def naive(kind, role, holders, rotations):
        """Search the whole bank for the rows of a role, class by class."""
        pool = []
        for base in dict.fromkeys(a.class_index for a in table if a.kind == kind):
            examples = [
                a.example for a in table if a[2:4] == (kind, role) and a.class_index == base and a.user in holders
            ]
            for k, c in enumerate(bank.classes):
                if examples and c.base == base and c.rotation in rotations:
                    pool.append([int(bank.rows(k)[e]) for e in examples])
        return pool

    def plain(pool):
        return [rows.tolist() for rows in pool]

    every, upright = (0, 90, 180, 270), (0,)
    for user in (1, 2, 3, 4):
        assert plain(split.training(user)) == naive("training", "training", [user], every)
        assert plain(split.validation(user)) == naive("training", "validation", [user], every)
    for user in (2, 3, 4):
        assert plain([split.target_benign(user)]) == naive("target", "benign", [user, None], upright)
        assert plain(split.backdoor_benign(user)) == naive("backdoor", "benign", [user, None], upright)
    target, backdoors = split.reserved_validation()
    assert plain([target]) == naive("target", "validation", [None], upright)
    assert plain(backdoors) == [[]] * 4  # all 20 examples have another role
    assert plain(split.meta_testing()) == naive("meta_testing", "meta_testing", [None], every)
    assert plain([split.target_attacker()]) == naive("target", "attacker", [1], upright)
    assert plain(split.backdoor("attack_training")) == naive("backdoor", "attack_training", [1], upright)
    assert plain(split.backdoor("attack_validation")) == naive("backdoor", "attack_validation", [None], upright)

    shares = [len(split.target_benign(user)) for user in (2, 3, 4)]
    assert shares == ([10, 10, 10] if reserved == "shared" else [4, 3, 3])


def test_examples_left_over_are_held_out_for_each_reserved_class():
    sizes = np.full(50, 20)
    sizes[[2, 4]] = 27, 23
    classes = [ImageClass(c.name, 0, k, int(sizes[:k].sum()), int(sizes[k])) for k, c in enumerate(CLASSES)]
    names = {"target": "letter 2", "backdoor": ["letter 9", "letter 4"]}
    bank = bank_of(classes, (90, 0))
    target, backdoors = Split(draw_split(classes, split_settings(SETTINGS | names), seed=0), bank).reserved_validation()
    upright = {c.name: c.first for c in bank.classes if c.rotation == 0}
    assert target.tolist() == [upright["letter 2"] + e for e in range(15, 20)]  # no more than validation_examples
    assert [rows.tolist() for rows in backdoors] == [[], [upright["letter 4"] + e for e in range(10, 13)]]


def test_training_and_validation_pools_speak_of_the_same_classes():
    bank = bank_of(CLASSES, (0, 90))
    split = Split(draw_split(CLASSES, split_settings(SETTINGS), seed=0), bank)
    starts = np.array([c.first for c in bank.classes])
    for user in (1, 2, 3, 4):
        classes = [
            [int(np.searchsorted(starts, rows[0], side="right")) for rows in pool]
            for pool in (split.training(user), split.validation(user))
        ]
        assert classes[0] == classes[1]
        assert len(set(classes[0])) == len(classes[0])


def test_a_split_of_other_images_is_refused():
    table = draw_split(CLASSES, split_settings(SETTINGS), seed=0)
    with pytest.raises(FedmetaError, match="not in the images"):
        Split(table, bank_of(CLASSES[:20]))
    with pytest.raises(FedmetaError, match=r"add 0 to data\.rotations"):
        Split(table, bank_of(CLASSES, (90, 180)))
