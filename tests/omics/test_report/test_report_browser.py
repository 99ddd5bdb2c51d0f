"""The page in a headless browser that is clicked and typed into: no complaint, no request, everything works."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omics.report.content import Cell, Page, Prose, Remark, Scatter, Section, Table
from omics.report.page import render
from omics.report.svg import draw
from tests.browser import IN_BROWSER, Browser

Make = Callable[..., Any]
HOSTILE = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script></style></svg><script>alert(2)</script>"

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Open a page of one section; whatever the test does with it, nobody complains and nothing is asked for."""

    def show(*parts: Any, **window: int) -> Browser:
        file = tmp_path / "parts.html"
        file.write_text(render(Page("Parts", [], [], [Section("one", "One", "Lead.", parts)])), encoding="utf-8")
        browser.open(file, **window)
        return browser

    yield show
    assert browser.complaints() == []
    assert browser.requests() == [(tmp_path / "parts.html").as_uri()]


def column(browser: Browser, number: int = 0) -> list[str]:
    rows = "[...document.querySelectorAll('tbody tr')].filter(r => !r.hidden)"
    return list(browser.ask(f"{rows}.map(r => r.cells[{number}].textContent)"))


def scatter(samples: list[str], **colourings: list[Any]) -> Scatter:
    still = draw("still", "A still drawing of some patients.", (2, 2), lambda figure: figure.text(0.1, 0.5, "still"))
    values = [float(i) for i in range(len(samples))]
    return Scatter("plane", "Caption.", samples, {"F1": values, "F2": values[::-1], "F3": [1.0] * len(samples)},
                   colourings, still)  # fmt: skip


# --- the whole page -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["S1", "S2", "S3"], ["S1", HOSTILE, BREAKOUT]])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_shown_without_a_complaint_a_request_or_a_sideways_scroll(
    names: list[str], width: int, browser: Browser, tmp_path: Path, page_with: Make, make_trees: Make
) -> None:
    page_with(**make_trees(90, names=names))
    file = tmp_path / "report.html"
    browser.open(file, width=width)
    sections = browser.ask("[...document.querySelectorAll('main > section')].map(s => s.id)")
    assert {"summary", "explore", "subtypes", "curves", "evaluation", "methods", "tripod"} < set(sections)
    assert browser.ask("document.querySelectorAll('img').length") == 0
    assert browser.ask("document.documentElement.scrollWidth") <= width
    options = "[...document.querySelectorAll('#explore-plane select')[2].options].map(o => o.text)"
    assert browser.ask(options)[0] == "Subtype found"
    legend = str(browser.ask("document.querySelector('#explore-plane .stage').textContent"))
    assert all(name[:20] in legend for name in names)
    assert browser.complaints() == []
    assert browser.requests() == [file.as_uri()]


def test_the_policy_stops_what_should_not_be_there(browser: Browser, tmp_path: Path) -> None:
    text = render(Page("Parts", [], [], []))
    tampered = text.replace("</main>", "<p style='color:red'>x</p><script>window.bad = 1</script></main>")
    tampered = tampered.replace("</main>", "<img src='https://example.org/x.png'></main>")
    (tmp_path / "tampered.html").write_text(tampered, encoding="utf-8")
    browser.open(tmp_path / "tampered.html")
    assert browser.ask("window.bad === undefined")
    assert browser.ask("getComputedStyle(document.querySelector('main > p')).color") != "rgb(255, 0, 0)"
    assert len(browser.complaints()) == 3


def test_page_prints_without_controls(browser: Browser, tmp_path: Path, page_with: Make, make_trees: Make) -> None:
    page_with(**make_trees(90))
    browser.open(tmp_path / "report.html")
    pdf = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="print")
    controls = "[...document.querySelectorAll('nav, .tools, .skip')]"
    assert browser.ask(f"{controls}.filter(e => e.getClientRects().length).length") == 0
    browser.call("Emulation.setEmulatedMedia", media="")


def test_without_script_everything_is_there(
    browser: Browser, tmp_path: Path, page_with: Make, make_trees: Make
) -> None:
    page_with(**make_trees(90))
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(tmp_path / "report.html")
    hidden = (
        "[...document.querySelectorAll('main :is(tr, p, svg, table, figure)')].filter(e => !e.getClientRects().length)"
    )
    assert browser.ask(f"{hidden}.length") == 0
    assert browser.ask("document.querySelectorAll('button, input, select').length") == 0  # none that does nothing
    assert browser.ask("document.querySelectorAll('#tripod tbody tr').length") == 52
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_words_on_tinted_cells_can_be_read(opened: Callable[..., Browser]) -> None:
    tints = [i / 20 for i in range(21)]
    browser = opened(
        Table("T", ("", *map(str, tints)), "l" + "c" * 21, [["x", *(Cell("1", tint) for tint in tints)]] * 2)
    )
    pairs = browser.ask(
        "[...document.querySelector('tbody tr').querySelectorAll('td')].map(getComputedStyle)"
        ".map(s => [s.color, s.backgroundColor])"
    )

    def luminance(colour: str) -> float:
        parts = [float(part) for part in re.findall(r"[\d.]+", colour.replace("srgb", ""))[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in
                  (part if "srgb" in colour else part / 255 for part in parts)]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert len(pairs) == 21
    for pair in pairs:  # WCAG 2.2, level AA
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair


# --- tables ---------------------------------------------------------------------------------------------------------


def test_tables_sort_by_number_on_click_and_by_key(opened: Callable[..., Browser]) -> None:
    said = ["p < 0.001", "p = 0.30", "p = 0.001", "–", "1,200", "−3.5 (−4 to 2)"]
    rows = [
        [f"S{i}", text, Cell("about 1", value=float(-i))] for i, text in zip((10, 2, 1, 3, 4, 5), said, strict=True)
    ]
    browser = opened(Table("T", ("Name", "Text", "Value"), "lrr", rows))
    head = "document.querySelectorAll('thead th')[{}]"
    before = column(browser)
    assert browser.ask(f"{head.format(1)}.getAttribute('aria-sort')") == "none"
    browser.click(f"{head.format(1)}.querySelector('button')")
    assert column(browser, 1) == ["−3.5 (−4 to 2)", "p < 0.001", "p = 0.001", "p = 0.30", "1,200", "–"]
    assert browser.ask(f"{head.format(1)}.getAttribute('aria-sort')") == "ascending"
    browser.press("Enter", 13, "\r")
    assert column(browser, 1) == ["1,200", "p = 0.30", "p = 0.001", "p < 0.001", "−3.5 (−4 to 2)", "–"]
    browser.press("Enter", 13, "\r")
    assert column(browser) == before
    browser.click(f"{head.format(2)}.querySelector('button')")
    assert column(browser) == ["S10", "S5", "S4", "S3", "S2", "S1"]
    assert browser.ask(f"{head.format(1)}.getAttribute('aria-sort')") == "none"
    browser.click(f"{head.format(0)}.querySelector('button')")
    assert column(browser) == ["S1", "S2", "S3", "S4", "S5", "S10"]


def test_an_infinite_ratio_is_the_largest(opened: Callable[..., Browser]) -> None:
    ratios = {"2.80": 2.8, "∞": float("inf"), "–": float("nan"), "0.50": 0.5, "10.5": 10.5}
    browser = opened(Table("T", ("", "Ratio"), "lr", [["x", Cell(said, value=one)] for said, one in ratios.items()]))
    browser.click("document.querySelectorAll('thead th button')[1]")
    assert column(browser, 1) == ["0.50", "2.80", "10.5", "∞", "–"]


def test_long_tables_are_short_until_asked_and_can_be_searched(opened: Callable[..., Browser]) -> None:
    rows = [[f"gene{i}", str(i)] for i in range(60)]
    browser = opened(Table("Long", ("Gene", "N"), "lr", rows), Table("Short", ("Gene", "N"), "lr", rows[:3]))
    first = "document.querySelectorAll('.sheet')[0]"
    count = f"[...{first}.querySelectorAll('tbody tr')].filter(r => !r.hidden).length"
    said = f"{first}.querySelector('.shown').textContent"
    assert browser.ask("document.querySelectorAll('input[type=search]').length") == 1
    assert browser.ask(count) == 25
    assert browser.ask(said) == "60 rows, 25 shown"
    assert browser.ask(f"{first}.querySelector('.shown').ariaLive") == "polite"
    browser.click(f"{first}.querySelector('.tools button')")
    assert browser.ask(count) == 60
    browser.click(f"{first}.querySelector('input')")
    browser.type("GENE5")
    assert browser.ask(count) == 11
    assert browser.ask(said) == "11 of 60 rows match"


# --- patients -------------------------------------------------------------------------------------------------------


def test_a_patient_is_marked_everywhere_and_told_as_text(opened: Callable[..., Browser]) -> None:
    samples = [f"P{i}" for i in range(40)] + [BREAKOUT, HOSTILE]
    rows = [[Cell(name, sample=name, tip="line 1\nline 2"), "1"] for name in samples]
    browser = opened(scatter(samples), Table("T", ("Patient", "N"), "lr", rows))
    browser.click("document.querySelector('#patient')")
    browser.type("p39")
    assert browser.ask("document.querySelector('.answer').textContent") == "P39: marked in 2 places"
    assert column(browser)[-1] == "P39"  # beyond the first 25 rows, and shown all the same
    assert browser.ask("document.querySelectorAll('.ring').length") == 1
    browser.point("document.querySelector('.stage [data-sample=P7]')")
    assert browser.ask("document.querySelector('.tip').innerText").startswith("P7\nF1: 7\nF2: 34")
    browser.click("[...document.querySelectorAll('.stage [data-sample]')].pop()")
    assert browser.ask("document.querySelector('.answer').textContent") == f"{HOSTILE}: marked in 2 places"
    browser.press("Escape", 27)
    assert browser.ask("document.querySelector('.tip').hidden")
    assert browser.ask("document.querySelectorAll('main img, main script:not([type])').length") == 0


def test_scatter_draws_what_is_chosen(opened: Callable[..., Browser]) -> None:
    kinds, ages = ["b", "a", "", "b"], [1.0, 2.0, float("nan"), 9.0]
    browser = opened(scatter(["P1", "P2", "P3", "P4"], Kind=kinds, Age=ages))
    words = "document.querySelector('.stage').textContent"
    fills = "[...document.querySelectorAll('.stage [data-sample]')].map(e => e.getAttribute('fill'))"
    box = "document.querySelectorAll('select')[{}]"
    choose = f"{box}.value = {{}}; {box}.dispatchEvent(new Event('change'))"
    assert browser.ask("document.querySelector('.still').hidden")
    assert "a (1)b (2)not known (1)" in browser.ask(words)
    one, two, none, four = browser.ask(fills)
    assert (one, none) == (four, "none")
    assert one != two
    browser.ask(choose.format(2, 1, 2))
    assert "Age" in browser.ask(words)
    assert len(set(browser.ask(fills))) == 4
    browser.ask(choose.format(1, 2, 1))  # a column that is constant
    assert "F3" in browser.ask(words)
    assert "NaN" not in browser.ask("document.querySelector('.stage').innerHTML")
    browser.ask("document.querySelector('.stage svg').focus()")
    browser.press("ArrowRight", 39)
    browser.press("ArrowRight", 39)
    assert browser.ask("document.querySelector('.tip').innerText").startswith("P2\nF1: 1\nF3: 1\nAge: 2")


def test_text_is_copied(opened: Callable[..., Browser]) -> None:
    browser = opened(Prose(["First.", "Second."]), Remark("Careful.", warning=True))
    browser.click("document.querySelector('.tools button')")
    answer = "new Promise(r => setTimeout(() => r(document.querySelector('.tools .shown').textContent), 200))"
    assert browser.ask(answer) == "copied"
    browser.click("document.querySelector('.warnings a')")
    assert browser.ask("location.hash") == "#warning-1"
    assert browser.ask("document.querySelector(location.hash).textContent") == "Careful."
