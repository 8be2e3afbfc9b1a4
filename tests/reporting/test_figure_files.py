import xml.etree.ElementTree

import matplotlib
import pytest
from helpers.drawn_metrics import ROUNDS, metrics
from helpers.setups import draw
from PIL import Image

from fedmeta.errors import FedmetaError


def test_files_are_the_same_for_the_same_frame_and_differ_for_another(tmp_path):
    frame = metrics(ROUNDS, cases="ab")
    matplotlib.get_backend()
    before = dict(matplotlib.rcParams)
    draw("3", frame, tmp_path / "deep" / "figure-3")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        draw("3", frame.sample(frac=1, random_state=1), tmp_path / "again-0.3")
    draw("3", frame.assign(value=frame.value / 2), tmp_path / "other")
    assert dict(matplotlib.rcParams) == before
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*.*"))]
    stems = ("again-0.3", "deep/figure-3", "other")
    assert names == [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")]
    for suffix in ("png", "svg"):
        first, again, other = (
            (tmp_path / f"{stem}.{suffix}").read_bytes() for stem in ("deep/figure-3", "again-0.3", "other")
        )
        assert first == again != other
    with Image.open(tmp_path / "other.png") as image:
        assert image.size[0] == 1400
        assert image.info["dpi"][0] == pytest.approx(200, abs=1)
    assert xml.etree.ElementTree.parse(tmp_path / "other.svg").getroot().tag.endswith("svg")


def test_a_figure_without_rows_is_an_error_and_writes_nothing(tmp_path):
    for dataset, name in (("glyphs", "5"), ("omniglot", "3"), ("omniglot", "7"), ("omniglot", "A6")):
        with pytest.raises(FedmetaError, match=dataset):
            draw(name, metrics(), tmp_path / "figure", dataset=dataset)
    assert list(tmp_path.iterdir()) == []
