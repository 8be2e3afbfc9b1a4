"""What figures say of mixes with a delta for each module, and of several repairs."""

import pytest
from helpers.setups import draw, settings, setup_of

from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures.captions import defence_title

LOCAL = {"method": "local_meta_training", "episodes": 100}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"method": "matching", "delta": 0.5}, ", δ = 0.5"),
        ({"method": "matching", "delta": [1, 1, 0.5, 0]}, ", δ = (1, 1, 0.5, 0)"),
        ({"method": "fine_tuning", "delta": [1, 0, 0, 0]}, ", Glorot mix with δ = (1, 0, 0, 0)"),
        ({"method": "fine_tuning", "repair": LOCAL}, "\nafter 100 episodes of local benign meta-training"),
        (
            {"method": "fine_tuning", "repair": [{"method": "mix", "delta": 0}, LOCAL, {"method": "./own.py"}]},
            "\nafter a Glorot mix with δ = 0, then 100 episodes of local benign meta-training, then repair by ./own.py",
        ),
    ],
)
def test_the_title_of_a_defence_tells_its_mix_and_its_repairs(entry, words):
    config = settings()
    setup = setup_of({**config, "defences": {**config["defences"], "mine": entry}})
    assert defence_title(setup, "mine").endswith(f"one-shot attack{words}")


def test_a_figure_over_delta_refuses_a_list(tmp_path):
    change = {"defences": {"sweep": {"grid": {"norms": ["shared"], "delta": [0.3, [1, 1, 0, 0]]}}}}
    with pytest.raises(FedmetaError, match=r"with a single delta: leave out 'sweep,norms=shared,delta=1\+1\+0\+0'"):
        draw("delta", None, tmp_path / "figure", change)
