"""The page in a headless browser: no complaint, nothing loaded, it prints."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]
HOSTILE = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script></style></svg><script>alert(2)</script>"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
         "--enable-logging=stderr", "--virtual-time-budget=3000"]  # fmt: skip


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
@pytest.mark.parametrize("names", [["S1", "S2", "S3"], ["S1", HOSTILE, BREAKOUT]])
def test_browser_shows_the_page_without_a_complaint(
    names: list[str],
    tmp_path: Path,
    page_with: Make,
    reader: Make,
    make_trees: Make,
) -> None:
    page_with(**make_trees(90, names=names))
    done = subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", str(tmp_path / "report.html")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    shown = reader(re.sub(r"<(/?)(\w+)", lambda tag: f"<{tag[1]}{tag[2].lower()}", done.stdout))
    assert {"cohort", "variance", "factors", "subtypes", "curves", "evaluation", "provenance"} <= set(shown.ids())
    assert not {tag for tag, _ in shown.attributes} & {"script", "img"}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
def test_page_prints(tmp_path: Path, page_with: Make, make_trees: Make) -> None:
    page_with(**make_trees(90))
    pdf = tmp_path / "report.pdf"
    subprocess.run(
        [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={pdf}",
         str(tmp_path / "report.html")],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert pdf.read_bytes().startswith(b"%PDF")
