"""The checkpoint of a fit: beside its output, and used for that very fit alone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omics.artefact import digest
from omics.factors.checkpoint import Checkpoint
from omics.factors.progress import SAVED
from omics.schema import OmicsError, UsageError
from pipelines.console import say

#: Variable of the environment, and its default: seconds between two times that the state is kept.
SECONDS, _DEFAULT = "OMICS_CHECKPOINT_SECONDS", 60.0


class Resume(Enum):
    """Whether a fit goes on from a checkpoint.

    Attributes
    ----------
    NEVER
        It starts from the beginning.
    IF_SAME
        It goes on if the checkpoint is of the same fit, else it starts from the beginning.
    ALWAYS
        It goes on; a checkpoint of another fit is an error.
    """

    NEVER = "never"
    IF_SAME = "if same"
    ALWAYS = "always"


def beside(output: Path, source: Path, parameters: Mapping[str, Any], resume: Resume) -> Checkpoint:
    """Checkpoint of the fit that makes `output`; says on stderr what becomes of one that is there.

    Parameters
    ----------
    output : pathlib.Path
        The artefact to be; whoever calls holds its lock.
    source : pathlib.Path
        The artefact that is fitted.
    parameters : mapping
        On which the fit depends.
    resume : Resume
        Whether to go on from it.

    Raises
    ------
    UsageError
        It is of another fit, and `resume` is ALWAYS.
    IntegrityError
        It is damaged, and `resume` is ALWAYS.
    """
    path = output.with_name(f".{output.name}.checkpoint")
    for unfinished in path.parent.glob(f"{path.name}.*"):  # its writer was killed
        unfinished.unlink(missing_ok=True)
    key = _key(source, parameters)
    going = resume is not Resume.NEVER
    if path.is_file():
        going = _decided(Checkpoint(path, key, SAVED, resume=True), resume)
    elif resume is Resume.ALWAYS:
        say(f"there is no checkpoint of {output}: from the beginning")
    return Checkpoint(path, key, SAVED, resume=going, every=_seconds())


def _decided(there: Checkpoint, resume: Resume) -> bool:
    """Whether to go on from what is there."""
    try:
        iteration = there.load().iteration
    except OmicsError:
        if resume is Resume.ALWAYS:
            raise
        say(f"{there.path} is not of this fit, or damaged: from the beginning")
        return False
    if resume is Resume.NEVER:
        say(f"{there.path} is of this fit, after iteration {iteration}: with --resume it would go on from there")
        return False
    say(f"goes on after iteration {iteration}")
    return True


def _key(source: Path, parameters: Mapping[str, Any]) -> str:
    facts = {"input": digest(source), "parameters": dict(parameters), "program": version("omics-all")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _seconds() -> float:
    text = os.environ.get(SECONDS, str(_DEFAULT))
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is no number of seconds", where=SECONDS, fix="for example 60") from error
