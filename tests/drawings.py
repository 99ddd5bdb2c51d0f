"""What the report's drawings are made from in tests, and how they are read."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd

from omics.report import effects

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    '$a$ & "b" \'c\' url(#d) id="e"',
    "W" * 500,
    "",
    "日本 \x00\x1b[31m",
)
RNG = np.random.default_rng


def parsed(drawn: str) -> ET.Element:
    """The drawing as XML, without what a page must not hold."""
    root = ET.fromstring(drawn)  # noqa: S314 - our own drawing
    assert {element.tag for element in root.iter()} <= {
        SVG + tag for tag in ("svg", "g", "path", "use", "defs", "text", "tspan", "image", "clipPath", "rect", "title")
    }
    assert root.get("role") == "img"
    assert root.get("aria-label")
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    return root


def marks(root: ET.Element) -> list[ET.Element]:
    return [element for element in root.iter() if element.get("data-tip") is not None]


def words(root: ET.Element) -> list[str]:
    return ["".join(element.itertext()).strip() for element in root.iter(SVG + "text")]


def bytes_of(drawn: str) -> int:
    return len(drawn.encode())


# --- what each is drawn from --------------------------------------------------------------------------------------


def mutations(n: int, n_genes: int, names: tuple[str, ...] = (), seed: int = 0) -> tuple[pd.DataFrame, ...]:
    rng = RNG(seed)
    samples = [*names, *(f"P{i:04d}" for i in range(n - len(names)))]
    genes = [f"GENE{j}" for j in range(n_genes)]
    subtype = np.sort(rng.integers(0, 4, n))
    carried = rng.uniform(size=(n_genes, n)) < np.linspace(0.3, 0.03, n_genes)[:, None]
    j, i = np.nonzero(carried)
    classes = ["Missense_Mutation", "Nonsense_Mutation", "Multi_Hit", "In_Frame_Ins", "Splice_Site", "Fusion", "Odd"]
    cells = pd.DataFrame({
        "gene": np.array(genes, dtype=object)[j], "sample": np.array(samples, dtype=object)[i],
        "classification": rng.choice(np.array(classes, dtype=object), len(i)),
    })  # fmt: skip
    rows = pd.DataFrame({"gene": genes, "n_mutated": carried.sum(axis=1), "share": carried.mean(axis=1)})
    known = pd.DataFrame({"sample": samples, "subtype": np.array(["S1", "S2", "S3", ""], dtype=object)[subtype]})
    return cells, rows, known


def features(n: int, called: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Differences, p-values and q-values of which exactly `called` are below 0.05."""
    rng = RNG(seed)
    p = rng.uniform(0.2, 1, n)
    p[:called] = 10.0 ** -rng.uniform(8, 30, called)
    return rng.normal(size=n), p, np.where(np.arange(n) < called, 0.01, 0.9), [f"F{i}" for i in range(n)]


def hazards(n: int) -> pd.DataFrame:
    rng = RNG(0)
    estimate, width = np.exp(rng.normal(0, 0.5, n)), np.exp(rng.uniform(0.2, 1, n))
    return pd.DataFrame({
        "label": [f"level {i}" for i in range(n)], "estimate": estimate, "lower": estimate / width,
        "upper": estimate * width, "p_value": rng.uniform(size=n), "n": 1000 + np.arange(n), "events": np.arange(n),
        "group": [f"Variable {i // 4}" for i in range(n)],
    })  # fmt: skip


def scores(n: int, names: tuple[str, ...] = ()) -> pd.DataFrame:
    index = [*names, *(f"P{i}" for i in range(n - len(names)))]
    return pd.DataFrame(RNG(0).normal(size=(n, 2)), index=index, columns=["Factor1", "Factor2"])


def sets(n: int, m: int) -> pd.DataFrame:
    rng = RNG(0)
    rows = [(f"SET_{i}", f"Factor{j + 1}") for i in range(n) for j in range(m)]
    table = pd.DataFrame(rows, columns=["set", "factor"])
    return table.assign(statistic=rng.normal(size=len(table)), q_value=rng.uniform(size=len(table)) ** 4)


def expressed(n: int, m: int) -> pd.DataFrame:
    rows = [(f"S{j + 1}", f"CD{i}") for i in range(n) for j in range(m)]
    table = pd.DataFrame(rows, columns=["subtype", "antigen"])
    return table.assign(percentile=RNG(0).uniform(size=n * m), homogeneity=RNG(1).uniform(size=n * m))


def account(layers: tuple[str, ...] = ("methylation", "expression"), reason: str = "relapse sample") -> pd.DataFrame:
    rows: list[tuple[str, str, str, int]] = []
    for i, layer in enumerate(layers):
        rows += [(layer, "in file", "", 230 + i), (layer, "kept", "", 218), (layer, "dropped", reason, 12 + i)]
    rows += [("all", "in all layers", "", 199), ("all", "in any layer", "", 224), ("a & b", "shared", "", 150)]
    return pd.DataFrame(rows, columns=["layer", "what", "reason", "samples"])


def volcano_of(n: int, called: int) -> str:
    return effects.volcano(*features(n, called), name="v", title="S1", x="difference")


def square(n: int, m: int) -> pd.DataFrame:
    return pd.DataFrame(RNG(0).normal(size=(n, m)), [f"row {i}" for i in range(n)], [f"F{j}" for j in range(m)])
