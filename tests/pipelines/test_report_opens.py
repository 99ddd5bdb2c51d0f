"""The report of a whole run, opened in a browser."""

from __future__ import annotations

import json

import pytest

from tests.browser import IN_BROWSER, Browser

pytestmark = IN_BROWSER

SECTIONS = {
    "summary", "cohort", "variance", "factors", "drivers", "explore", "subtypes", "differences", "curves", "mutations",
    "resistance", "targets", "antigens", "toxicity", "evaluation", "methods", "tripod", "provenance",
}  # fmt: skip


@pytest.fixture
def browser(tmp_path):
    made = Browser(tmp_path / "profile")
    yield made
    made.close()


def test_the_page_of_a_run_opens_whole_and_in_silence(finished, browser):
    browser.open(finished / "report.html")
    found = set(json.loads(browser.ask("JSON.stringify([...document.querySelectorAll('section[id]')].map(s => s.id))")))
    assert found >= SECTIONS
    assert browser.complaints() == []
    assert browser.requests() == [(finished / "report.html").as_uri()]
    assert browser.ask("document.querySelectorAll('th button').length") > 20


def test_a_report_of_a_run_keeps_its_title(omics, finished, tmp_path):
    for more, title in (((), "Simulated paediatric ALL"), (("--title", "Mine"), "Mine")):
        made = omics("report", finished, "-o", tmp_path / "r.html", "--overwrite", *more)
        assert made.exit_code == 0, made.stderr
        assert f"<title>{title}</title>" in (tmp_path / "r.html").read_text(encoding="utf-8")
