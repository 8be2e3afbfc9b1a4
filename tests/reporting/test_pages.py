"""Pages of tables: what the CSV file has, as HTML that a parser of its own reads back."""

from html.parser import HTMLParser

import pytest
from helpers.browser import CHROMIUM, browsing

from fedmeta.errors import FedmetaError
from fedmeta.reporting.pages import write_page


class Cells(HTMLParser):
    """Reads the rows of a page's table."""

    def __init__(self, text: str):
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True
        elif tag == "script":
            self.inside = False

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("thead", "tbody", "table")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data.strip()


def page(tmp_path, text: str, name: str = "table", title: str = "A table") -> str:
    (tmp_path / f"{name}.csv").write_text(text)
    write_page(tmp_path / f"{name}.csv", title, tmp_path / f"{name}.html")
    return (tmp_path / f"{name}.html").read_text()


def test_a_page_has_the_table_s_cells_with_numbers_rounded_for_people(tmp_path):
    text = 'what,mean,n\n"a, <b> & ""c""",0.123456,3\nplain,-12.5,0.5\n,,1.25\n'
    assert Cells(page(tmp_path, text)).rows == [
        ["what", "mean", "n"],
        ['a, <b> & "c"', "0.123", "3"],
        ["plain", "-12.500", "0.50"],
        ["", "", "1.25"],
    ]


def test_a_column_without_values_is_left_out_unless_there_are_no_rows(tmp_path):
    assert Cells(page(tmp_path, "a,b,c\n1,,\n2,,x\n")).rows == [["a", "c"], ["1", ""], ["2", "x"]]
    assert Cells(page(tmp_path, "a,b\n")).rows == [["a", "b"]]


def test_of_paper_against_ours_the_verdict_stands_beside_the_numbers(tmp_path):
    text = "id,figure,paper,unit,verdict,mean\nO-1,3a,78,percent,agrees,77\n"
    assert Cells(page(tmp_path, text, "paper_against_ours")).rows[0] == [
        *("figure", "paper", "mean", "verdict"),
        *("id", "unit"),
    ]


def test_the_title_is_text_and_not_markup(tmp_path):
    assert "<title>a &lt; b</title>" in page(tmp_path, "a\n1\n", title="a < b")


def test_an_empty_file_is_one_clear_line(tmp_path):
    with pytest.raises(FedmetaError, match=r"table\.csv is empty: delete it and run again"):
        page(tmp_path, "")


@pytest.mark.skipif(not CHROMIUM, reason="no chromium-headless-shell: apt-get install chromium-headless-shell")
def test_numbers_sort_by_value_and_words_as_people_count(tmp_path):
    page(tmp_path, "name,value\nrun 10,-5.5\nRun 9,-12.25\nother,3\n,1000\nzoo,\nrun 1,20\n")
    seen = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[%d].innerText)"
    press = "document.querySelectorAll('th button')[%d].click()"
    numbers, names = ["-12.25", "-5.50", "3", "20", "1000"], ["other", "run 1", "Run 9", "run 10", "zoo"]
    with browsing(tmp_path / "profile") as (browser, _):
        browser.open((tmp_path / "table.html").as_uri())
        for column, expected in ((1, numbers), (0, names), (1, numbers)):
            for shown in (expected, expected[::-1]):
                browser.ask(press % column)
                assert browser.ask(seen % column) == [*shown, ""], "what is empty comes last"
