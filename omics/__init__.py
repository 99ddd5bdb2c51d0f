"""Multi-omics of leukaemia: from raw files to subtypes that relapse, and honest prediction.

The public names, in the order in which data flow; each is imported when it is first used, so that
``import omics`` is instant.
"""

from importlib import import_module
from typing import Any

_PUBLIC = {
    "ingest": "omics.read",
    "Sources": "omics.read",
    "Recipe": "omics.prepare",
    "MOFA": "omics.factors",
    "Subtypes": "omics.subtypes",
    "compare": "omics.outcome",
    "OutcomeClassifier": "omics.predict",
    "evaluate": "omics.predict",
    "differential": "omics.interpret",
    "write_report": "omics.report",
    "write_h5mu": "omics.export",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'omics' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
