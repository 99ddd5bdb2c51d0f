"""A command line that runs inside the test, and one small cohort that went through all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipelines import config
from pipelines.cli import cli

Omics = Callable[..., Result]

#: Small enough for seconds: what is found is asserted elsewhere, here that the parts fit together.
SMALL = """
[prepare]
n_features = 200
[factors]
n_factors = 4
[subtypes]
n_subtypes = 3
resamples = 3
null_sets = 39
refits = 1
[evaluate]
n_folds = 2
n_inner = 2
models = ["logistic"]
n_factors = 3
[train]
n_factors = 3
"""


#: Commands that start processes of their own unless told otherwise; tests that mean processes say so.
_THREADS = {f"OMICS_{name}_CLUSTER": "threads" for name in ("DEMO", "RUN", "EVALUATE")}


@pytest.fixture(scope="session")
def omics() -> Omics:
    """Call ``omics`` with these arguments."""

    def call(*arguments: Any) -> Result:
        return CliRunner(env=_THREADS).invoke(cli, [str(argument) for argument in arguments])

    return call


@pytest.fixture(scope="session")
def raw(omics: Omics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the raw files of a simulated cohort in data/, and its config.toml."""
    folder = tmp_path_factory.mktemp("raw")
    made = omics("simulate", folder / "data", "--patients", 100, "--cpgs", 300, "--genes", 300)
    assert made.exit_code == 0, made.stderr
    demo = (Path(config.__file__).parent / "configs" / "demo.toml").read_text(encoding="utf-8")
    (folder / "config.toml").write_text(demo[: demo.index("[prepare]")] + SMALL, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def finished(omics: Omics, raw: Path) -> Path:
    """Folder of a run of that cohort; nobody writes into it."""
    result = omics("run", raw / "config.toml", "--workers", 2)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{raw / 'results' / 'report.html'}\n"
    return raw / "results"
