"""Read what a TCGA or TARGET barcode says: the patient, and when in the disease the sample was taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

_PATTERN = re.compile(
    r"(?P<patient>TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}|TARGET-\d{2}-[A-Z0-9]+)(?:-(?P<code>\d{2})[A-Z]?(?:[-.].*)?)?", re.ASCII
)

#: When a sample was taken, by the two digits of the barcode.
TIMEPOINTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("01", "03", "09"), "diagnosis"),
        **dict.fromkeys(("02", "04", "40"), "relapse"),
        **dict.fromkeys(("41", "42"), "post-treatment"),
        **dict.fromkeys(("10", "11", "12", "14", "15", "99"), "normal"),
        **dict.fromkeys(("13", "20", "50", "60", "61"), "control, cell line or xenograft"),
    }
)


class Barcode(NamedTuple):
    """What an id says.

    Attributes
    ----------
    patient : str
        Id of the patient.
    timepoint : str
        One of the values of :data:`TIMEPOINTS`, or "sample type NN" for a code that is none of them.
    known : bool
        Whether the id is a barcode; another id is taken as it is, as diagnosis.
    """

    patient: str
    timepoint: str
    known: bool


def parse(identifier: str) -> Barcode:
    """Patient and timepoint of `identifier`.

    Parameters
    ----------
    identifier : str
        Barcode of a patient, sample, portion or aliquot, or any other id.
    """
    match = _PATTERN.fullmatch(identifier)
    if match is None:
        return Barcode(identifier, "diagnosis", known=False)
    code = match["code"]
    return Barcode(match["patient"], TIMEPOINTS.get(code, f"sample type {code}") if code else "diagnosis", known=True)
