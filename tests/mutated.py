"""Calls of mutations for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Columns of a MAF, as functions of the room `interpret` name them.
MAF = {
    "Hugo_Symbol": "gene",
    "Tumor_Sample_Barcode": "sample",
    "Variant_Classification": "classification",
    "Chromosome": "chromosome",
    "Start_Position": "start",
    "Reference_Allele": "reference",
    "Tumor_Seq_Allele2": "alternative",
}


def calls_of(*rows: tuple[str, str], classification: str = "Missense_Mutation") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sample", "gene"]).assign(classification=classification)


def calls_from(carried: np.ndarray, samples: list[str]) -> pd.DataFrame:
    """One call for each gene that a sample carries; genes are g00, g01, ..."""
    return calls_of(*((samples[i], f"g{j:02d}") for i, j in zip(*np.nonzero(carried), strict=True)))


def names(n: int) -> list[str]:
    return [f"s{i:03d}" for i in range(n)]


def drawn(seed: int, n: int = 40, n_genes: int = 8) -> tuple[pd.DataFrame, list[str]]:
    """Random calls of several classes, some silent, some in one gene; the last samples have none."""
    rng = np.random.default_rng(seed)
    size = 4 * n
    classes = np.array(["Missense_Mutation", "Silent", "Frame_Shift_Del", "Intron", "ITD"], dtype=object)
    calls = pd.DataFrame(
        {
            "sample": np.array(names(n), dtype=object)[rng.integers(n - 5, size=size)],
            "gene": [f"g{j}" for j in np.minimum(rng.geometric(0.3, size), n_genes)],
            "classification": classes[rng.choice(5, size, p=[0.5, 0.2, 0.1, 0.1, 0.1])],
            "start": rng.integers(10, size=size),
        }
    )
    return calls, names(n)
