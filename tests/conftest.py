"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

#: What is long or shares fixtures comes first, and goes to one worker, which compiles the kernels while the next one
#: does what needs none; the quick ones at the end keep all workers busy until then.
_FIRST = (
    "test_known_truth",
    "pipelines",
    "omics/test_re",
    "omics/test_outcome",
    "omics/test_schema",
    "omics/test_export",
)
_LAST = "test_rooms"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files so that parallel workers do little twice and end together."""

    def place(item: pytest.Item) -> int:
        name = item.nodeid.removeprefix("tests/")
        found = (number for number, start in enumerate(_FIRST) if name.startswith(start))
        return next(found, len(_FIRST) + name.startswith(_LAST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public patient data, or a skip that says why."""
    folder = Path(os.environ.get("OMICS_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"public patient data are absent: no folder {folder}")
    return folder
