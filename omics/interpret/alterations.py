"""Whether a lesion is the alteration that a table of knowledge means: yes, no, or to be checked.

The tables say it in words: ``activating mutation``, ``mutation R367Q``, ``deletion``, ``JAK2 fusion or mutation,
BCR::ABL1-like``. What the words ask beyond what is known of a lesion (that it activates; that the patient is an infant)
is to be checked, never taken for granted.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from omics.interpret.lesions import AMPLIFICATION, DELETION, FUSED, FUSION, MUTATION

#: Whether a lesion is what the table means.
YES, NO, TO_CHECK = "yes", "no", "to be checked"

_KIND = {
    MUTATION: r"\b(?:mutations?|mutated)\b",
    DELETION: r"\b(?:deletions?|deleted)\b",
    AMPLIFICATION: r"\b(?:amplifications?|amplified)\b",
    FUSION: r"\b(?:fusions?|rearranged|rearrangements?|translocations?)\b",
}
_GENE = r"(?<![A-Za-z0-9:])[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*(?![A-Za-z0-9:])"
_PAIR = re.compile(r"\b([A-Z][A-Z0-9]+::[A-Z][A-Z0-9]+)\b(?!-like)")
_CHANGE = re.compile(r"(?:of )?([A-Z])(\d+)([A-Z*]?)")
_PROTEIN = re.compile(r"(?:p\.)?\(?([A-Z][a-z]{2}|[A-Z])(\d+)([A-Z][a-z]{2}|[A-Z*=])?(.*?)\)?")
_TRUNCATING = ("nonsense_mutation", "frame_shift_del", "frame_shift_ins")
_IN_FRAME = ("missense_mutation", "in_frame_del", "in_frame_ins", "itd")
_THREE = "AlaArgAsnAspCysGlnGluGlyHisIleLeuLysMetPheProSerThrTrpTyrValTer"
_ONE_LETTER = {_THREE[3 * place : 3 * place + 3]: one for place, one in enumerate("ARNDCQEGHILKMFPSTWYV*")}


class Alteration(NamedTuple):
    """What the words of a table ask for.

    Attributes
    ----------
    options : tuple of (str, str)
        Kind of lesion, empty where none is named, and what is asked of it; a lesion must be one of them.
    condition : str
        What is asked besides.
    genes : tuple of str
        Genes that the words name; of a fusion of two, the 3' one.
    """

    options: tuple[tuple[str, str], ...]
    condition: str
    genes: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of lesion that may be it, each once."""
        return tuple(dict.fromkeys(kind for kind, _ in self.options if kind))


def parsed(words: str, known: frozenset[str] = frozenset()) -> Alteration:
    """What the words ask for.

    Parameters
    ----------
    words : str
        Of the column ``alteration`` of the table of resistance, or ``lesion`` of that of targets.
    known : frozenset of str
        Symbols; where words name one, the lesion is one of that gene.
    """
    pair = _PAIR.search(words)
    if pair:
        rest = words.replace(pair[1], "").strip(" ,")
        return Alteration(((FUSION, pair[1]),), rest, (pair[1].split(FUSED)[1],))
    genes = [name for name in re.findall(_GENE, words) if name in known]
    for gene in genes:
        words = re.sub(rf"(?<![A-Za-z0-9:]){re.escape(gene)}(?![A-Za-z0-9:])-?", "", words)
    options: list[tuple[str, str]] = []
    conditions = []
    for part in filter(None, (piece.strip(" ,") for piece in words.split(","))):
        if options and not any(re.search(pattern, part) for pattern in _KIND.values()):
            conditions += [part] if part != "or" else []
        else:
            options += [_option(one.strip()) for one in re.split(r"\bor\b", part) if one.strip()]
    return Alteration(tuple(options), ", ".join(conditions), tuple(dict.fromkeys(genes)))


def _option(words: str) -> tuple[str, str]:
    """Kind of lesion, and what is asked of it; where no kind is named, the words."""
    for kind, pattern in _KIND.items():
        if re.search(pattern, words):
            rest = re.sub(r"\s+", " ", re.sub(pattern, "", words)).strip()
            return kind, re.sub(r"\b(?:of|in|with)$", "", rest).strip()
    return "", words


def agrees(asked: Alteration, lesion: str, detail: str, classification: str, class_of_fusion: str = "") -> str:
    """Whether a lesion is one that is asked for.

    Parameters
    ----------
    asked : Alteration
        Of :func:`parsed`.
    lesion, detail, classification : str
        Of :func:`omics.interpret.lesions.lesions`.
    class_of_fusion : str
        Subtypes of the fusion in the table of fusions; empty where it is not listed.

    Returns
    -------
    str
        :data:`YES`, :data:`NO` or :data:`TO_CHECK`: the best of all options, and never :data:`YES` under a condition.
    """
    found = {_one(kind, what, lesion, detail, classification, class_of_fusion) for kind, what in asked.options}
    if YES in found and not asked.condition:
        return YES
    return TO_CHECK if found & {YES, TO_CHECK} or not asked.options else NO


def _one(kind: str, what: str, lesion: str, detail: str, classification: str, class_of_fusion: str) -> str:
    if not kind:
        return TO_CHECK
    if kind != lesion:
        return NO
    if not what:
        return YES
    if kind == FUSION:
        return _fusion(what, detail, class_of_fusion)
    return _mutation(what, detail, classification.lower()) if kind == MUTATION else TO_CHECK


def _fusion(what: str, detail: str, class_of_fusion: str) -> str:
    if FUSED in what:
        told = FUSED in detail
        return (YES if set(detail.split(FUSED)) == set(what.split(FUSED)) else NO) if told else TO_CHECK
    if not class_of_fusion:
        return TO_CHECK
    return YES if what in class_of_fusion else NO


def _mutation(what: str, detail: str, classification: str) -> str:
    change = _CHANGE.fullmatch(what)
    if change:
        return _same_change(change, detail)
    if what == "truncating" and classification in _TRUNCATING:
        return YES
    return NO if what == "truncating" and classification in _IN_FRAME else TO_CHECK


def _same_change(asked: re.Match[str], detail: str) -> str:
    """Whether the change of protein is the one asked for; of any residue at that place, where none is named."""
    told = _PROTEIN.fullmatch(detail)
    if not told:
        return TO_CHECK
    old, place, new, rest = told.groups(default="")
    old, new = _ONE_LETTER.get(old, old), _ONE_LETTER.get(new, new)
    if "_" in rest:  # several residues
        return TO_CHECK
    if (old, place) != (asked[1], asked[2]):
        return NO
    if not asked[3]:
        return YES
    if not new and not rest:
        return TO_CHECK
    return YES if new == asked[3] and not rest else NO
