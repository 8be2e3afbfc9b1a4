"""The report of a small run of two scenarios: what it has, and how a real browser shows it, with no network at all."""

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.browser import CHROMIUM, Browser, browsing
from helpers.tiniest import call
from helpers.two_scenarios import MINE, TWO

OWN = "results/figures/plain/omniglot/figure-3.svg"
ACROSS = "results/figures/omniglot/figure-scenarios.svg"
COMPARISON, PAPER = "results/tables/comparison.html", "results/tables/plain/paper_against_ours.html"
WIDTHS = {"laptop": (1366, 768), "phone": (390, 844)}


@pytest.fixture(scope="module")
def project(two_scenarios, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "project"
    subprocess.run(["cp", "-a", two_scenarios, folder], check=True)
    run = call(folder, "", *MINE, "--report", "results/report.html")
    assert run.returncode == 0, run.stderr[-3000:]
    (folder / "report.log").write_text(run.stderr)
    return folder


@pytest.fixture(scope="module")
def report(project) -> Path:
    return project / "results/report.html"


@pytest.fixture(scope="module")
def variables(report) -> dict:
    """What the page's script has: results, with caption and labels by path, and categories, by which they are shown."""
    text = report.read_text()
    found = {name: re.search(rf"^\s*var {name} = (\{{.*\}});$", text, re.M) for name in ("results", "categories")}
    return {name: json.loads(match[1]) for name, match in found.items()}


def test_the_end_of_a_run_and_nothing_but_that_says_what_was_found(project):
    printed = (project / "run.log").read_text()
    assert "What was found" in printed
    assert re.search(r"^plain +matching +[-+]\d+", printed, re.M)
    assert "What was found" not in (project / "report.log").read_text()


def test_every_figure_and_table_is_in_it_by_scenario_and_data_set(variables):
    own = {
        scenario: {
            *(f"results/figures/{scenario}/omniglot/figure-{number}.svg" for number in (3, 7)),
            f"results/tables/{scenario}/paper_against_ours.html",
            f"results/figures/{scenario}/paper_against_ours.svg",
        }
        for scenario in TWO
    }
    own["plain"].add("results/figures/plain/omniglot/attack-seed-1.png")  # the other stamps the same images
    tables = {f"results/tables/{name}.html" for name in ("comparison", "rejections", "summary")}
    expected = {"All scenarios": {ACROSS, *tables}, "The run": {"results/tables/run_times.html"}}
    expected |= {f"Scenario {scenario}": paths for scenario, paths in own.items()}
    groups = {
        name: {path for each in group.values() for path in each} for name, group in variables["categories"].items()
    }
    assert groups == expected
    assert {name for group in variables["categories"].values() for name in group} == {"Omniglot"}
    assert sorted(groups)[0] == "All scenarios", "what compares scenarios comes first"


def test_captions_say_what_is_shown_how_to_read_it_and_at_this_run_s_scale(variables):
    for path, result in variables["results"].items():
        caption = re.sub(r"<[^>]+>", "", result["caption"])
        assert "system-message" not in result["caption"], path
        assert "How to read it." in caption, path
        # 2 rounds of 3 users with 1 meta-step of 2 episodes
        scale = "2 evaluation episodes of each kind, 1 client, 1 seed, 12 pre-training episodes"
        assert scale in " ".join(caption.split()), path
        assert "4 filters, 16 pixels" in " ".join(caption.split()), path
    figure = variables["results"][OWN]["caption"]
    assert "Accuracy over the rounds of benign meta-training after the attack" in figure
    assert "100,000 pre-training episodes" in figure, "the paper's scale"
    assert "100,000" not in variables["results"][ACROSS]["caption"]


def test_it_is_small_and_a_new_caption_or_look_reruns_nothing(project, report):
    assert report.stat().st_size < 10e6
    for path in sorted((project / "workflow/report").iterdir()):
        path.write_text(path.read_text() + "\n")
    run = call(project, "", *MINE, "--dry-run")
    assert "Nothing to be done" in run.stdout + run.stderr


def test_with_many_scenarios_it_shows_what_compares_them(project):
    from fedmeta.settings import with_table
    from workflow.lib.homes import Homes
    from workflow.lib.jobs import Jobs
    from workflow.lib.report_marks import MOST_PICTURES, Marks
    from workflow.lib.targets import Targets

    config = with_table(yaml.safe_load((project / "config.yaml").read_text()))
    config["figures"] = [3, "scenarios"]
    for number, left_out in ((MOST_PICTURES // 3, False), (50, True)):
        config["scenarios"] = {f"s{k}": {"split": {"target": f"t{k}"}} for k in range(number)}
        jobs = Jobs(config)
        marks = Marks(jobs, Targets(jobs, Homes(jobs, {})))
        assert marks.pictures_left_out == left_out
        assert marks.shown(ACROSS)
        assert marks.shown(COMPARISON)
        assert marks.shown("results/figures/s1/omniglot/figure-3.svg") != left_out
        flags = getattr(marks.figure("results/figures/{scenario}/{dataset}/figure-{figure}.svg"), "flags", {})
        assert ("report" in flags) != left_out


@pytest.fixture(scope="module")
def opened(report, tmp_path_factory):
    """The report in a browser, and the proxy through which alone the browser reaches the network."""
    if not CHROMIUM:
        pytest.skip("no chromium-headless-shell: apt-get install chromium-headless-shell")
    with browsing(tmp_path_factory.mktemp("profile")) as (browser, proxy):
        yield browser, proxy


@pytest.fixture(params=WIDTHS)
def browser(request, opened, report) -> Browser:
    browser, _ = opened
    browser.open(report.as_uri(), *WIDTHS[request.param])
    browser.wait("document.querySelector('#rulegraph canvas') !== null")
    return browser


def click(browser: Browser, text: str) -> None:
    """Click on the link of the page with this text."""
    link = f"[...document.querySelectorAll('a')].find(link => link.textContent.trim() === {json.dumps(text)})"
    browser.wait(link + " !== undefined")
    browser.ask(link + ".click()")


def press(browser: Browser, row: str, button: int) -> None:
    """Press a button in a row of the list of results: 0, the eye, shows it; 1 shows its caption."""
    found = f"[...document.querySelectorAll('tr')].find(row => row.textContent.trim() === {json.dumps(row)})"
    browser.wait(found + " !== undefined")
    browser.ask(f"{found}.querySelectorAll('a')[{button}].click()")


def test_a_figure_shows_beside_its_caption_and_the_caption_links_to_tables(browser):
    click(browser, "Scenario plain")
    press(browser, "Experiment 1: figure 3, over rounds", 0)
    picture = "document.querySelector('#app img[src^=\"data:image/svg\"]:not(nav img)')"
    browser.wait(f"{picture}?.complete && {picture}.naturalWidth > 0")
    box = browser.ask(
        f"(({{left, right, width, top}}) => ({{left, right, width, top}}))({picture}.getBoundingClientRect())"
    )
    window = browser.ask("innerWidth")
    assert box["width"] > 0.6 * window, "as wide as there is room"
    assert box["left"] >= 0
    assert box["right"] <= window
    press(browser, "Experiment 1: figure 3, over rounds", 1)
    caption = browser.wait("document.querySelector('nav .prose')?.innerText")
    assert "How to read it." in caption
    click(browser, "comparison of the scenarios")
    browser.wait("document.querySelector('nav .prose').innerText.startsWith('Comparison of the scenarios')")
    browser.frame("Comparison of the scenarios")


def test_a_table_sorts_and_filters(browser, project):
    click(browser, "All scenarios")
    press(browser, "Comparison of the scenarios", 0)
    frame = browser.frame("Comparison of the scenarios")
    with (project / "results/tables/comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 10

    def column(name: str) -> list[str]:
        """Return the cells of a column that are to be seen, from the top."""
        place = f"[...document.querySelectorAll('th')].findIndex(head => head.innerText.trim() === '{name}')"
        return browser.ask(
            f"[...document.querySelectorAll('tbody tr:not([hidden])')].map(row => row.cells[{place}].innerText)", frame
        )

    def sort_by(name: str) -> None:
        head = f"[...document.querySelectorAll('th button')].find(head => head.innerText.trim() === '{name}')"
        browser.ask(f"{head}.click()", frame)

    for name in ("lift", "mean"):
        values = sorted(float(row[name]) for row in rows if row[name])
        empty = [""] * sum(not row[name] for row in rows)
        sort_by(name)
        assert [cell and float(cell) for cell in column(name)] == [round(value, 3) for value in values] + empty
        sort_by(name)
        shown = [float(cell) for cell in column(name) if cell]
        assert shown == sorted(shown, reverse=True)
        assert column(name)[len(shown) :] == empty, "what has no value comes last"
    browser.ask("document.querySelector('input').value = 'STRONG meta_testing'", frame)
    browser.ask("document.querySelector('input').dispatchEvent(new Event('input'))", frame)
    assert set(column("scenario")) == {"strong"}
    assert set(column("metric")) == {"meta_testing"}
    assert f"{len(column('metric'))} of {len(rows)} rows" in browser.ask("document.body.innerText", frame)


def test_the_first_page_has_words_config_and_graph_and_nothing_beside_the_window(browser):
    words = browser.ask("document.querySelector('.prose').innerText")
    assert "A backdoor attack on federated meta-learning" in words
    rows = browser.ask("document.querySelectorAll('.prose tbody tr').length")
    assert rows == 2 * 4, "without a defence, and with fine-tuning, the matching network and a fresh one"
    browser.ask("document.querySelector('#config').open = true")
    config = yaml.safe_load(browser.ask("document.querySelector('#config pre').innerText"))
    assert config["scenarios"] == TWO
    assert config["model"]["filters"] == 4
    for content in ("[document.documentElement]", "[...document.querySelectorAll('.prose')]"):
        assert browser.ask(f"{content}.every(part => part.getBoundingClientRect().right <= innerWidth)"), content
    assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
    click(browser, "figure scenarios, Omniglot")
    browser.wait("document.querySelector('#app img[src^=\"data:image/svg\"]:not(nav img)')?.naturalWidth > 0")


def test_nothing_is_asked_of_the_network(opened, report, variables, tmp_path):
    browser, proxy = opened
    browser.open(report.as_uri())
    browser.wait("document.querySelector('#rulegraph canvas') !== null")
    for path, result in variables["results"].items():
        content = "html" if path.endswith(".html") else "img"
        browser.ask(f"app.setView({{content: '{content}', contentPath: results['{path}'].data_uri}})")
        assert result["data_uri"].startswith("data:")
        if content == "html":
            browser.frame(re.search("<strong>(.*?)</strong>", result["caption"])[1])  # the caption begins with it
    browser.ask("app.setView({content: 'stats'})")
    browser.wait("document.querySelector('#timeline canvas') !== null")
    assert proxy.asked == []
    asking = "<img src='http://figures.example/a.png'><script>fetch('https://tables.example/b')</script>"
    (tmp_path / "asking.html").write_text(asking)
    browser.open((tmp_path / "asking.html").as_uri())
    browser.ask("new Promise(done => setTimeout(done, 500))")
    hosts = {re.split(r"[ :/]+", line.partition(" ")[2].removeprefix("http://"))[0] for line in proxy.asked}
    assert hosts == {"figures.example", "tables.example"}, "what a page asks for is noted"
