"""A fitted pipeline as bytes and back, without pickle: skops builds only the types on a fixed list."""

from __future__ import annotations

import io
import re
import zipfile

import skops.io
from sklearn.pipeline import Pipeline

from omics.schema import IntegrityError

_SCHEMA = "schema.json"
#: How skops writes addresses: as ids of objects, and as names of files.
_ADDRESS = re.compile(r'(?<="__id__": )\d+|\d+(?=\.npy)')

#: Types beyond skops' own defaults that a model of ours may hold; reviewed here, never taken from the file. A dtype is
#: a description of numbers; a tree is a table of splits that scikit-learn checks when it is rebuilt; the others hold
#: arrays and settings, and their methods compute.
TRUSTED = (
    "numpy.dtype",
    "omics.predict.hazards.CauseHazards",
    "omics.predict.hazards.SubdistributionHazard",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn.tree._tree.Tree",
    "sksurv.ensemble.forest.RandomSurvivalForest",
    "sksurv.functions.StepFunction",
    "sksurv.linear_model.coxnet.CoxnetSurvivalAnalysis",
    "sksurv.linear_model.coxph.BreslowEstimator",
    "sksurv.tree.tree.SurvivalTree",
)


def to_bytes(pipeline: Pipeline) -> bytes:
    """The same bytes for the same fitted pipeline: objects numbered as they occur, no addresses and no dates.

    skops names objects and files by their address in memory, so that every run would give another digest.
    """
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline))) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    schema = files.pop(_SCHEMA).decode()
    number = {address: str(count) for count, address in enumerate(dict.fromkeys(_ADDRESS.findall(schema)))}
    renamed = {_ADDRESS.sub(lambda found: number[found.group()], name): content for name, content in files.items()}
    renamed[_SCHEMA] = _ADDRESS.sub(lambda found: number[found.group()], schema).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, content in sorted(renamed.items()):
            packed.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def foreign_types(frozen: bytes) -> list[str]:
    """Types in those bytes that are not on our list."""
    return sorted(set(skops.io.get_untrusted_types(data=frozen)) - set(TRUSTED))


def from_bytes(frozen: bytes, *, where: str) -> Pipeline:
    """The pipeline that :func:`to_bytes` wrote.

    Raises
    ------
    IntegrityError
        It holds a type that is not on our list.
    """
    foreign = foreign_types(frozen)
    if foreign:
        raise IntegrityError(
            f"the model holds types that are not ours: {', '.join(foreign)}",
            where=where,
            fix="do not use this bundle; train it again",
        )
    return skops.io.loads(frozen, trusted=list(TRUSTED))
