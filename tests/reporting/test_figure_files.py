import xml.etree.ElementTree

import matplotlib
import pytest
from fedmeta.reporting.contents import FIGURES
from helpers.drawn_metrics import ROUNDS, metrics
from PIL import Image

from fedmeta.errors import FedmetaError
from fedmeta.reporting import figures


def test_files_are_the_same_for_the_same_frame_and_differ_for_another(tmp_path):
    frame = metrics(ROUNDS, cases="ab")
    matplotlib.get_backend()
    before = dict(matplotlib.rcParams)
    figures.draw_figure(FIGURES["3"], frame, "omniglot", tmp_path / "deep" / "figure-3", way=5)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        figures.draw_figure(
            FIGURES["3"], frame.sample(frac=1, random_state=1), "omniglot", tmp_path / "again-0.3", way=5
        )
    figures.draw_figure(FIGURES["3"], frame.assign(value=frame.value / 2), "omniglot", tmp_path / "other", way=5)
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
            figures.draw_figure(FIGURES[name], metrics(), dataset, tmp_path / "figure", way=5)
    assert list(tmp_path.iterdir()) == []
