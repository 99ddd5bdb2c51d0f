"""The page of a large cohort: how long it takes, how much memory, how large it is, how fast it opens.

Run ``python -m benchmarks.report [--smoke] [--json FILE]``. Made-up artefacts of 2,000 patients x 15 factors x 3
layers: factors, eight subtypes with curves, and an interpretation (50 leading features of each factor and layer,
differences of 20,000 features of two layers in each subtype, an oncoprint of 30 genes, tables of every patient). They
are written as stores; a process of its own opens them and writes the page with its folder of numbers, which is timed
and whose peak memory is read. Chromium, where there is one, then opens the page until it has run its script; what it
takes for an empty page is subtracted. The last line reads ``seconds=S peak_gib=G page_mb=M open_seconds=O``.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from omics import cohort
from omics.artefact import Provenance
from omics.report import write_report
from omics.schema import NODES

NOUNS = ("cohort", "factors", "subtypes", "interpretation")
LAYERS = {"expression": 1000, "methylation": 1000, "mutation": 50}
GENES, DRAWN, SETS, SUBTYPES, FACTORS, LISTED = 20_000, 30, 50, 8, 15, 50
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update",
         "--host-resolver-rules=MAP * ~NOTFOUND")  # fmt: skip
_WORDS = ("signalling", "clinical", "mutation", "PMID:12345678", "Seen in one cohort of children at relapse.")

# --- artefacts ----------------------------------------------------------------------------------------------------


class Made:
    """Artefacts of so many patients, by noun."""

    def __init__(self, patients: int, genes: int) -> None:
        self.rng = np.random.default_rng(1)
        self.genes = genes
        self.samples = np.array([f"TARGET-10-P{i:05d}" for i in range(patients)], dtype=object)
        self.factors = np.array([f"Factor{k + 1}" for k in range(FACTORS)], dtype=object)
        self.names = np.array([f"S{k + 1}" for k in range(SUBTYPES)], dtype=object)
        self.group = np.sort(self.rng.integers(SUBTYPES, size=patients))
        self.label = pd.Series(self.names[self.group], self.samples)

    def trees(self) -> dict[str, xr.DataTree]:
        """Every artefact."""
        made = {noun: getattr(self, f"_{noun}")() for noun in NOUNS}
        return {noun: xr.DataTree.from_dict(nodes) for noun, nodes in made.items()}

    def _clinical(self) -> pd.DataFrame:
        rng, n = self.rng, len(self.samples)
        event = rng.choice([0.0, 1.0, 2.0], n, p=[0.75, 0.2, 0.05])
        return pd.DataFrame({
            "age": rng.uniform(1, 18, n), "sex": rng.choice(["female", "male"], n), "wbc": rng.lognormal(3, 1, n),
            "mrd": rng.beta(0.3, 30, n), "nci_risk": rng.choice(["Standard", "High"], n), "event": event,
            "event_time": rng.uniform(0.1, 9, n), "relapse": (event == 1).astype(float),
        }, index=pd.Index(self.samples, name="sample"))  # fmt: skip

    def _cohort(self) -> dict[str, xr.Dataset]:
        nodes = {"/clinical": cohort.from_table(self._clinical(), "sample")}
        for name, n in LAYERS.items():
            rows = self.samples[self.rng.uniform(size=len(self.samples)) < 0.9]
            value = self.rng.normal(size=(len(rows), n)).astype(np.float32)
            coordinates = {"sample": rows, "feature": _named(name, n)}
            attributes = {"kind": name, "likelihood": "gaussian", "units": "1"}
            nodes[f"/views/{name}"] = xr.Dataset({"value": (("sample", "feature"), value)}, coordinates, attributes)
        return nodes

    def _factors(self) -> dict[str, xr.Dataset]:
        rng, both = self.rng, ("sample", "factor")
        centre = rng.normal(scale=2, size=(SUBTYPES, FACTORS))
        score = centre[self.group] + rng.normal(size=(len(self.samples), FACTORS))
        r2 = rng.dirichlet(np.ones(FACTORS), size=len(LAYERS)) * 0.6
        views = np.array(list(LAYERS), dtype=object)
        nodes = {
            "/factors": xr.Dataset({"score": (both, score), "score_sd": (both, np.full(score.shape, 0.1))},
                                   {"sample": self.samples, "factor": self.factors}),
            "/variance": xr.Dataset({"r2": (("view", "factor"), r2), "r2_total": ("view", r2.sum(axis=1))},
                                    {"view": views, "factor": self.factors}),
        }  # fmt: skip
        for name, n in LAYERS.items():
            weight = rng.normal(size=(n, FACTORS))
            wide, group = ("feature", "factor"), ("group", "feature")
            nodes[f"/views/{name}"] = xr.Dataset(
                {"weight": (wide, weight), "weight_square": (wide, weight**2), "intercept": (group, np.zeros((1, n))),
                 "precision": (group, np.ones((1, n)))},
                {"feature": _named(name, n), "factor": self.factors},
            )  # fmt: skip
        return nodes

    def _subtypes(self) -> dict[str, xr.Dataset]:
        n = len(self.samples)
        probability = self.rng.dirichlet(np.ones(SUBTYPES), size=n)
        found = xr.Dataset(
            {"label": ("sample", self.label.to_numpy()), "probability": (("sample", "subtype"), probability),
             "ambiguity": ("sample", np.full(n, 0.1)), "ambiguity_p": ("sample", np.full(n, 0.1))},
            {"sample": self.samples, "subtype": self.names},
        )  # fmt: skip
        curves = pd.concat(
            [self._curve(end, name) for end in ("relapse", "event_free", "overall") for name in self.names]
        )
        tests = pd.DataFrame({"endpoint": ["relapse"], "test": ["gray"], "statistic": [9.0], "df": [7],
                              "p_value": [0.2], "n": [n], "events": [n // 5]})  # fmt: skip
        return {"/subtypes": found, "/curves": cohort.from_table(curves.reset_index(drop=True)),
                "/tests": cohort.from_table(tests)}  # fmt: skip

    def _curve(self, endpoint: str, name: str) -> pd.DataFrame:
        at_risk = np.arange(int((self.label == name).sum()), 0, -1)
        survival = np.cumprod(1 - (self.rng.uniform(size=len(at_risk)) < 0.1) / (at_risk + 1))
        estimate = 1 - survival if endpoint == "relapse" else survival
        time_ = np.sort(self.rng.uniform(0, 9, len(at_risk)))
        return pd.DataFrame({"group": name, "endpoint": endpoint, "time": time_, "estimate": estimate,
                             "lower": estimate * 0.9, "upper": np.minimum(1, estimate * 1.1), "at_risk": at_risk,
                             "events": 0})  # fmt: skip

    def _interpretation(self) -> dict[str, xr.Dataset]:
        nodes = {f"/{name}": cohort.from_table(table) for name, table in self._tables().items()}
        return nodes | {f"/differential/{name}": self._differential(name) for name in ("expression", "methylation")}

    def _differential(self, layer: str) -> xr.Dataset:
        both = ("subtype", "feature")
        p = self.rng.uniform(size=(SUBTYPES, self.genes)) ** 3
        numbers = ("difference", "statistic", "mean_inside", "mean_outside")
        values = {name: (both, self.rng.normal(size=p.shape)) for name in numbers}
        counts = np.bincount(self.group, minlength=SUBTYPES)
        return xr.Dataset(
            {**values, "p_value": (both, p), "q_value": (both, np.minimum(1, 2 * p)), "n": ("subtype", counts),
             "prior_df": 4.0, "prior_variance": 1.0},
            {"subtype": self.names, "feature": _named(layer, self.genes)},
        )  # fmt: skip

    def _tables(self) -> dict[str, pd.DataFrame]:
        """Every table with as many rows as it has for such a cohort."""
        samples, genes = list(self.samples), [f"GENE{i}" for i in range(DRAWN)]
        factors, names, layers = list(self.factors), list(self.names), list(LAYERS)
        drugs = {"gene": genes, "drug": ["thiopurines", "glucocorticoids"]}
        targets = {"target": genes, "indication": ["mutation"], "agents": ["an inhibitor; another inhibitor"]}
        antigens = {"antigen": [f"CD{i}" for i in range(15)], "modality": ["CAR-T"], "agents": ["an antibody"]}
        n = len(samples)
        crossed = {
            "factor_features": {"factor": factors, "layer": layers, "rank": list(range(1, LISTED + 1))},
            "associations": {"factor": factors, "variable": [f"variable {i}" for i in range(60)]},
            "factor_sets": {"factor": factors, "set": [f"HALLMARK_{i}" for i in range(SETS)]},
            "subtype_sets": {"subtype": names, "set": [f"HALLMARK_{i}" for i in range(SETS)]},
            "cpg_sets": {"group": factors, "set": [f"HALLMARK_{i}" for i in range(SETS)]},
            "subtype_features": {"subtype": names, "layer": layers[:2], "rank": list(range(1, LISTED + 1))},
            "concordance": {"gene": [f"GENE{i}" for i in range(1000)]},
            "oncoprint_samples": {"sample": samples},
            "oncoprint_genes": {"gene": genes},
            "burden": {"sample": samples},
            "gene_pairs": {"gene_a": genes, "gene_b": genes},
            "mutation_subtypes": {"subtype": names, "gene": genes},
            "mutation_relapse": {"gene": genes},
            "resistance_subtypes": {"subtype": names, **drugs},
            "targets_subtypes": {"subtype": names, **targets},
            "antigens_subtypes": {"subtype": names, **antigens},
            "antigens_patients": {"sample": samples, "antigen": antigens["antigen"]},
            "pharmacogenes": {"gene": genes},
        }
        tables = {name: self._filled(name, _crossed(keys)) for name, keys in crossed.items()}
        some = {"oncoprint": (5 * n // 2, {"gene": genes}), "resistance_patients": (3 * n, drugs),
                "targets_patients": (3 * n, targets)}  # fmt: skip
        for name, (rows, keys) in some.items():
            drawn = {key: self.rng.choice(values, rows) for key, values in {"sample": samples, **keys}.items()}
            tables[name] = self._filled(name, pd.DataFrame(drawn).astype(object))
        return tables

    def _filled(self, name: str, keys: pd.DataFrame) -> pd.DataFrame:
        """The columns that are not given, by what is declared of them."""
        n = len(keys)
        table = keys.copy()
        if "sample" in table:
            table["subtype"] = self.label.reindex(table["sample"]).to_numpy()
        for variable in NODES[name]:
            if variable.name not in table:
                table[variable.name] = self._column(variable.name, str(variable.kind), n)
        if name == "associations":
            cox = np.arange(n) % 60 == 0
            about = table["variable"].where(~cox, "time to relapse")
            effect = np.where(cox, "hazard ratio", "auc")
            table = table.assign(test=np.where(cox, "cox", "mannwhitney"), effect_name=effect, variable=about)
        return table[[variable.name for variable in NODES[name]]]

    def _column(self, name: str, kind: str, n: int) -> np.ndarray:
        fixed: Mapping[str, object] = {
            "known": "measured",
            "subtype": "",
            "layer": "expression",
            "direction": "together",
        }
        if name == "agrees":
            return self.rng.choice(np.array(["yes", "to be checked", "no"], dtype=object), n)
        if kind == "text":
            return np.array([fixed.get(name, _WORDS[len(name) % len(_WORDS)])] * n, dtype=object)
        if kind == "integer":
            return self.rng.integers(1, 40, n) + (100 if name in ("n", "n_known", "n_cluster") else 0)
        return self.rng.uniform(0.01, 1, n) ** (3 if name in ("p_value", "q_value") else 1)


def _named(layer: str, n: int) -> np.ndarray:
    return np.array([f"{layer}{j}" for j in range(n)], dtype=object)


def _crossed(keys: Mapping[str, list]) -> pd.DataFrame:
    return pd.MultiIndex.from_product(list(keys.values()), names=list(keys)).to_frame(index=False)


# --- measurement --------------------------------------------------------------------------------------------------


def write(folder: Path) -> None:
    """What the process of its own does: write the page, and say how much memory it took."""
    trees = {noun: cohort.open(folder / f"{noun}.zarr", noun=noun) for noun in NOUNS}
    began = time.perf_counter()
    write_report(folder / "report.html", title="A large cohort", **trees)  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gib": peak}))


def opened(page: str, profile: Path) -> float:
    """Seconds in which Chromium opens a page and runs its script."""
    began = time.perf_counter()
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", page]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return time.perf_counter() - began


def main() -> None:
    """Measure a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a small run, to see that it works")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write)
        return
    patients, genes = (100, 200) if options.smoke else (2000, GENES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for noun, tree in Made(patients, genes).trees().items():
            cohort.save(tree, folder / f"{noun}.zarr", Provenance(noun, {}))
        command = [sys.executable, "-m", "benchmarks.report", "--write", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        page = folder / "report.html"
        figures["page_mb"] = page.stat().st_size / 1e6
        numbers = sum(file.stat().st_size for file in (folder / "report_data").rglob("*") if file.is_file()) / 1e6
        print(f"{patients} patients x {FACTORS} factors: {numbers:.0f} MB of numbers beside the page")
        if CHROMIUM:
            empty = opened("about:blank", folder / "profile")
            figures["open_seconds"] = opened(page.as_uri(), folder / "profile") - empty
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    said = {"seconds": ".1f", "peak_gib": ".2f", "page_mb": ".1f", "open_seconds": ".1f"}
    print(" ".join(f"{name}={figures.get(name, float('nan')):{form}}" for name, form in said.items()))


if __name__ == "__main__":
    main()
