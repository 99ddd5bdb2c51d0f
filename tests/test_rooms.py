"""The rules of the house, read off the source: who may import whom, and what nobody may call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for package in ("omics", "pipelines")
    for path in (REPOSITORY / package).rglob("*.py")
)

#: What each part of `omics` may import of `omics`, besides itself.
LEAVES = {
    "schema": set(),
    "blocks": set(),
    "columns": set(),
    "stats": set(),
    "artefact": {"schema"},
    "cohort": {"schema", "artefact", "blocks"},
    "simulate": {"schema", "blocks"},
}
ROOMS = {
    room: set(LEAVES) for room in ("read", "prepare", "factors", "subtypes", "outcome", "interpret", "report", "export")
}
PREDICT = {"predict": {*LEAVES, "prepare", "factors", "subtypes", "outcome"}}
MAY_IMPORT = {**LEAVES, **ROOMS, **PREDICT}

CLUSTER = {"distributed", "dask_jobqueue", "dask.distributed"}
PLOTTING = {"matplotlib", "seaborn", "plotly", "bokeh", "altair"}
PICKLING = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "joblib.load", "joblib.dump", "pandas.read_pickle"}
PICKLING_CALLS = {"read_pickle", "to_pickle"}


def violations(module: str, source: str) -> list[str]:
    """Broken rules of one module, each as "line: what"."""
    tree = ast.parse(source)
    found = [(line, what) for line, name in _imports(module, tree) if (what := _import_fault(module, name))]
    found += _call_faults(module, tree)
    return [f"{module}:{line}: {what}" for line, what in sorted(found)]


def _imports(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported name in full, wherever the import stands: `from a import b` is a.b."""
    package = PurePosixPath(module).parent.parts
    for item in ast.walk(tree):
        if isinstance(item, ast.Import):
            yield from ((item.lineno, alias.name) for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            above = package[: len(package) - item.level + 1] if item.level else ()
            origin = ".".join([*above, *([item.module] if item.module else [])])
            yield from ((item.lineno, f"{origin}.{alias.name}") for alias in item.names)
        elif isinstance(item, ast.Call) and ast.unparse(item.func) in {"__import__", "importlib.import_module"}:
            yield item.lineno, item.args[0].value if isinstance(item.args[0], ast.Constant) else "<computed>"


def _within(name: str, libraries: set[str]) -> bool:
    return any(name == library or name.startswith(f"{library}.") for library in libraries)


def _import_fault(module: str, name: str) -> str | None:
    in_omics = module.startswith("omics/")
    if name == "<computed>":  # the command line loads its commands by name
        return "imports a module whose name is computed" if in_omics else None
    if _within(name, PICKLING):
        return f"imports {name}: models are never pickles"
    if _within(name, CLUSTER) and module != "pipelines/cluster.py":
        return f"imports {name}: only pipelines/cluster.py starts clusters"
    if _within(name, PLOTTING) and not module.startswith("omics/report/"):
        return f"imports {name}: figures are drawn in omics/report only"
    if in_omics and _within(name, {"click", "pipelines", "tests"}):
        return f"imports {name}: omics knows no command line"
    return _room_fault(module, name) if in_omics and _within(name, {"omics"}) else None


def _room(part: str) -> str:
    """Private modules beside a leaf, `_simulate_text.py`, are of that leaf."""
    return next((leaf for leaf in LEAVES if part.startswith(f"_{leaf}_")), part)


def _room_fault(module: str, name: str) -> str | None:
    room = _room(PurePosixPath(module).parts[1].removesuffix(".py"))
    other = _room(name.split(".")[1]) if "." in name else "omics"
    if room == "__init__" or other == room:
        return None
    if room not in MAY_IMPORT:
        return f"is in no room of DESIGN.md ({room})"
    return None if other in MAY_IMPORT[room] else f"imports {name}: {room} may use {sorted(MAY_IMPORT[room])}"


def _call_faults(module: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for item in ast.walk(tree):
        if isinstance(item, ast.Attribute) and item.attr in PICKLING_CALLS:
            yield item.lineno, f"calls {item.attr}: data are never pickles"
        if isinstance(item, ast.Attribute) and ast.unparse(item) in PICKLING:
            yield item.lineno, f"calls {ast.unparse(item)}: models are never pickles"
        if isinstance(item, ast.keyword) and item.arg == "allow_pickle" and ast.unparse(item.value) != "False":
            yield item.lineno, "allows pickles in arrays"
        if isinstance(item, ast.keyword) and item.arg == "scheduler" and _picks(module, item):
            yield item.lineno, "picks a scheduler: dask's active one is used"


def _picks(module: str, scheduler: ast.keyword) -> bool:
    """Only ``blocks.alone`` may keep in its thread what a task, which the active scheduler runs, computes itself."""
    own_thread = module == "omics/blocks.py" and ast.unparse(scheduler.value) == "'synchronous'"
    return module.startswith("omics/") and not own_thread


@pytest.mark.parametrize("module", MODULES)
def test_module_keeps_the_rules(module: str) -> None:
    assert violations(module, (REPOSITORY / module).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", MODULES)
def test_module_can_be_held_in_mind(module: str) -> None:
    assert len((REPOSITORY / module).read_text(encoding="utf-8").splitlines()) < 500


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("omics/schema.py", "from omics.cohort import open"),
        ("omics/blocks.py", "import omics.schema"),
        ("omics/artefact.py", "from omics import cohort"),
        ("omics/cohort.py", "from omics.read import ingest"),
        ("omics/simulate.py", "from omics.cohort import save"),
        ("omics/prepare/steps.py", "from omics.factors import MOFA"),
        ("omics/prepare/steps.py", "from ..factors import MOFA"),
        ("omics/prepare/steps.py", "from .. import factors"),
        ("omics/prepare/steps.py", "import omics"),
        ("omics/report/page.py", "def draw():\n    from omics.outcome import auc"),
        ("omics/report/page.py", "if TYPE_CHECKING:\n    from omics.predict import evaluate"),
        ("omics/outcome/curves.py", "import importlib\nimportlib.import_module('omics.predict')"),
        ("omics/outcome/curves.py", "import importlib\nimportlib.import_module(name)"),
        ("omics/predict/nested.py", "from omics.report import write_report"),
        ("omics/predict/nested.py", "from omics.read import ingest"),
        ("omics/_simulate_text.py", "from omics.cohort import save"),
        ("omics/helpers.py", "from omics.schema import check"),
        ("omics/read/maf.py", "import click"),
        ("omics/read/maf.py", "from pipelines import options"),
        ("omics/blocks.py", "import distributed"),
        ("omics/blocks.py", "from dask.distributed import Client"),
        ("omics/blocks.py", "from dask import distributed"),
        ("pipelines/run.py", "from distributed import Client"),
        ("pipelines/run.py", "import dask_jobqueue"),
        ("pipelines/run.py", "import matplotlib.pyplot as plt"),
        ("omics/subtypes/model.py", "from matplotlib import pyplot"),
        ("omics/predict/bundle.py", "import pickle"),
        ("omics/predict/bundle.py", "from joblib import load"),
        ("omics/predict/bundle.py", "import joblib\njoblib.load('model')"),
        ("pipelines/run.py", "import numpy as np\nnp.load('x.npy', allow_pickle=True)"),
        ("pipelines/run.py", "import pandas as pd\npd.read_pickle('x')"),
        ("omics/factors/mofa.py", "import dask\ndask.compute(x, scheduler='threads')"),
        ("omics/factors/mofa.py", "import dask\nwith dask.config.set(scheduler='synchronous'): pass"),
        ("omics/blocks.py", "import dask\nwith dask.config.set(scheduler='threads'): pass"),
    ],
)
def test_planted_violation_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("omics/__init__.py", "from omics.predict import evaluate\nfrom omics.schema import check"),
        ("omics/simulate.py", "from omics import _simulate_text"),
        ("omics/cohort.py", "import os\nfrom omics.artefact import publish\nfrom omics.blocks import each"),
        ("omics/blocks.py", "import dask\nwith dask.config.set(scheduler='synchronous'): pass"),
        (
            "omics/prepare/steps.py",
            "from omics.prepare import transforms\nfrom . import recipe\nfrom ..blocks import each",
        ),
        ("omics/predict/nested.py", "from omics.factors import MOFA\nfrom omics.prepare import Recipe"),
        ("omics/report/figures.py", "from matplotlib.figure import Figure"),
        ("pipelines/cluster.py", "from distributed import Client\nimport dask_jobqueue"),
        ("pipelines/run.py", "import dask\nfrom omics.read import ingest\ndask.config.set(scheduler='threads')"),
        (
            "omics/predict/bundle.py",
            "import joblib\njoblib.Parallel(2)\nimport numpy\nnumpy.load('x', allow_pickle=False)",
        ),
    ],
)
def test_lawful_module_passes(module: str, source: str) -> None:
    assert violations(module, source) == []
