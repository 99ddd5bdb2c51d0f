"""Simulate a cohort of paediatric ALL with known truth, as the raw files in which a consortium would hand it over.

The population (loadings, hazards) follows from the seed and the numbers of features alone, and each patient has
random streams of their own. So the first patients of a larger cohort are the patients of a smaller one, and the
others are an independent cohort of the same population.

For sample `i` and feature `j` of a layer,

    y_ij = base_j + scale_j (sum_k w_jk z_ik + e_ij),

where `z` are the programme of the patient's subtype, factors that are normal and independent of it, and the drift
of the site; `w` is sparse, except for the site, and `e` is standard normal. Methylation is
``beta = 2^y / (1 + 2^y)``; expression is Poisson with mean ``depth_i exp(y_ij)``; a driver gene is mutated with
probability ``expit(logit p_sj + w_j z_i)``.
"""

from __future__ import annotations

import gzip
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from omics import _simulate_patients as draws
from omics._simulate_patients import DRIVERS, FACTORS, SUBTYPES, Cohort, Population
from omics._simulate_sets import GeneSet, gene_sets, truth, write_gmt
from omics.blocks import slices
from omics.schema import EVENT_CODES, UsageError

#: Where the columns of ``clinical.tsv`` belong, in the form that ``clinical_columns`` of an ingest takes.
CLINICAL_COLUMNS: dict[str, str | dict[str, object]] = {
    "patient": "patient_id",
    "age": "age_years",
    "sex": "sex",
    "wbc": "wbc_at_diagnosis",
    "mrd": "mrd_end_of_induction",
    "nci_risk": "nci_risk",
    "subtype": "clinical_subtype",
    "site": "site",
    "protocol": "protocol",
    "refractory": "refractory",
    "event": "first_event",
    "event_time": {"column": "event_days", "unit": "days"},
    "death": "death",
    "death_time": {"column": "death_days", "unit": "days"},
}

_FILES = {
    "methylation": "methylation_beta.tsv.gz",
    "expression": "expression_counts.tsv.gz",
    "mutations": "mutations.maf.gz",
    "sequenced": "sequenced_samples.txt",
    "probes": "probe_annotation.tsv",
    "clinical": "clinical.tsv",
    "sets": "gene_sets.gmt",
    "truth": "truth",
}
_LAYERS = ("methylation", "expression")
_DIAGNOSIS, _RELAPSE, _NORMAL = range(3)

#: Share of the features that carry a subtype or factor, and the spread of their weights in units of the noise.
_CARRIERS = {"subtype": 0.10, "factor": 0.12, "site": 1.0}
_SPREADS = {"subtype": 2.3, "factor": 0.9, "site": 0.45}
_RESISTANCE_AT_RELAPSE = 0.8
_GAINED = "NT5C2"  # by a fifth of the relapses
_MISSING_CPGS = 0.01
_BLOCK = 4096
_TOP_WEIGHTS = 100

_CHROMOSOMES = np.array([*(f"chr{number}" for number in range(1, 23)), "chrX"], dtype=object)
_N_PROBE_IDS = 30_000_000

#: Code of a missing beta; the codes 0..10000 stand for 0.0000..1.0000.
_MISSING = 10_001
_MAX_COUNT = 999_999

_CLASSES = {
    "Missense_Mutation": 0.65,
    "Nonsense_Mutation": 0.10,
    "Splice_Site": 0.07,
    "Frame_Shift_Del": 0.08,
    "Frame_Shift_Ins": 0.07,
    "In_Frame_Del": 0.03,
}


def simulate(
    folder: str | Path,
    *,
    n_patients: int = 360,
    n_cpgs: int = 4000,
    n_genes: int = 2500,
    seed: int = 1,
    null: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Path]:
    """Write the raw files of a simulated cohort, and its truth beside them.

    Parameters
    ----------
    folder : path
        New or empty folder; it appears whole or not at all.
    n_patients, n_cpgs, n_genes : int
        Sizes. More patients with the same seed and numbers of features keep the first patients as they are.
    seed : int
        Seed of everything; the same seed and sizes give identical bytes.
    null : bool
        Plant no subtype in any layer and no effect on the outcome; the clinical subtype is then a random word.
    progress : callable, optional
        Called with (blocks done, blocks in all).

    Returns
    -------
    dict of str to pathlib.Path
        ``methylation``, ``expression``, ``mutations``, ``sequenced``, ``probes``, ``clinical``, ``sets`` (gene sets,
        some of which follow a subtype or factor) and ``truth`` (a folder with ``patients.tsv``, ``factors.tsv``,
        ``weights.tsv`` and ``truth.json``).

    Raises
    ------
    UsageError
        The folder is not empty, or a size is out of range.

    Notes
    -----
    Memory is that of one block of 4,096 features of all samples. Alleles in the MAF are not those of the genome.
    ``relapse_risk_5y`` of the truth is the cumulative incidence of relapse by 5 years given competing risks, of a
    patient who reaches remission: what an oracle would predict.
    """
    _check_sizes({"n_patients": n_patients, "n_cpgs": n_cpgs, "n_genes": n_genes, "seed": seed})
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError("the output exists and is not empty", where=str(target), fix="give a new or an empty folder")
    staging = target.parent / f".{target.name}.staging-{uuid.uuid4().hex[:12]}"
    (staging / _FILES["truth"]).mkdir(parents=True)
    try:
        _write(staging, Population(seed, n_cpgs, n_genes, null), n_patients, progress or (lambda done, total: None))
        staging.rename(target)  # takes the place of an empty folder, fails if it was filled meanwhile
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {what: target / name for what, name in _FILES.items()}


def _check_sizes(sizes: dict[str, int]) -> None:
    limits = {"n_patients": (1, 26**4), "n_cpgs": (1, _N_PROBE_IDS), "n_genes": (1, 10**6), "seed": (0, 2**63)}
    for name, (least, most) in limits.items():
        if not least <= sizes[name] <= most:
            raise UsageError(f"{name} is {sizes[name]}", fix=f"give a {name} of {least} to {most}")


def _write(folder: Path, population: Population, n_patients: int, progress: Callable[[int, int], None]) -> None:
    cohort = draws.draw(population, n_patients)
    sizes = {"methylation": population.n_cpgs, "expression": population.n_genes}
    total, done = sum(-(-size // _BLOCK) for size in sizes.values()), 0
    strongest, signs = pd.DataFrame(), []
    for layer in _LAYERS:
        matrix = _Matrix(population, cohort, layer)
        with _GzipWriter(folder / _FILES[layer]) as file:
            file.write("\t".join(["feature", *matrix.samples.barcode]).encode() + b"\n")
            for block, part in enumerate(slices(sizes[layer], _BLOCK)):
                names = _names(population, layer, part)
                features = _features(population, layer, block, names)
                for lines in _lines(names, matrix.codes(block, features), _fields(layer)):
                    file.write(lines)
                strongest = _strongest(strongest, layer, names, features.weight)
                if layer == "expression":
                    signs.append(np.sign(features.weight).astype(np.int8))
                done += 1
                progress(done, total)
    _write_probes(folder / _FILES["probes"], population)
    variants, sequenced = _mutations(population, cohort)
    _write_table(variants, folder / _FILES["mutations"])
    (folder / _FILES["sequenced"]).write_text("".join(f"{barcode}\n" for barcode in sequenced))
    _write_table(_clinical(population, cohort), folder / _FILES["clinical"])
    kinds = [(name, kind) for name, kind, _ in _score_kinds("expression")]
    sets = gene_sets(population, kinds, np.concatenate(signs, axis=1), _genes(population.n_genes))
    write_gmt(sets, folder / _FILES["sets"])
    _write_truth(folder / _FILES["truth"], population, cohort, strongest, sets)


# --- matrices -----------------------------------------------------------------------------------------------------


class _Features(NamedTuple):
    """Parameters of one block of features: base and scale (feature,), weight (score, feature)."""

    base: np.ndarray
    scale: np.ndarray
    weight: np.ndarray


def _score_kinds(layer: str) -> list[tuple[str, str, bool]]:
    """(name, kind, whether it loads on the layer) of every score, in the order of the rows of the weights."""
    programmes = [(subtype.name, "subtype", True) for subtype in SUBTYPES]
    factors = [(name, "factor", layer in layers) for name, layers in FACTORS.items()]
    return [*programmes, *factors, ("site", "site", True)]


def _features(population: Population, layer: str, block: int, names: Sequence[str]) -> _Features:
    rng, size = population.rng(draws.WEIGHTS, _LAYERS.index(layer), block), len(names)
    if layer == "methylation":
        state = rng.choice(3, size=size, p=[0.45, 0.40, 0.15])
        base = np.array([-3.5, 3.0, 0.0])[state] + 0.8 * rng.standard_normal(size)
    else:
        base = np.clip(5.0 + 1.8 * rng.standard_normal(size), -1.0, 9.0)
    scale = 0.45 * np.exp(0.3 * rng.standard_normal(size))
    kinds = _score_kinds(layer)
    share = np.array([[_CARRIERS[kind] * loads] for _, kind, loads in kinds])
    spread = np.array([[_SPREADS[kind]] for _, kind, _ in kinds])
    weight = spread * rng.standard_normal((len(kinds), size)) * (rng.random((len(kinds), size)) < share)
    if layer == "expression" and block == 0:
        _mark(weight, [name for name, _, _ in kinds], {name: column for column, name in enumerate(names)})
    return _Features(base.astype("f4"), scale.astype("f4"), weight.astype("f4"))


def _mark(weight: np.ndarray, rows: list[str], columns: dict[str, int]) -> None:
    """Give the known marker genes their one effect, in place."""
    effects = [(subtype, gene, 4.0) for subtype, genes in draws.MARKERS.items() for gene in genes]
    effects += [("resistance", gene, effect) for gene, effect in draws.RESISTANCE_MARKERS.items()]
    for score, gene, effect in effects:
        if gene in columns:
            weight[:-1, columns[gene]] = 0.0
            weight[rows.index(score), columns[gene]] = effect


class _Matrix:
    """The samples of one layer and their scores; makes the codes of a block of features."""

    def __init__(self, population: Population, cohort: Cohort, layer: str) -> None:
        self.samples = cohort.samples(layer)
        self._population, self._layer = population, layer
        row, kind = self.samples.row.to_numpy(), self.samples.kind.to_numpy()
        scores = _scores(population, cohort).iloc[row].assign(site=_site_scores(cohort)[row])
        scores["resistance"] += _RESISTANCE_AT_RELAPSE * (kind == _RELAPSE)
        scores.loc[kind == _NORMAL, scores.columns != "site"] = 0.0
        self._scores = scores.to_numpy(dtype="f4")
        self._depth = (0.25 * cohort.normal.depth).to_numpy(dtype="f4")[row]

    def codes(self, block: int, features: _Features) -> np.ndarray:
        """Codes of a block, shape (feature, sample); each sample has a stream of its own."""
        size = features.base.size
        codes = np.empty((len(self.samples), size), dtype=np.uint16 if self._layer == "methylation" else np.uint32)
        for index, (row, kind) in enumerate(zip(self.samples.row, self.samples.kind, strict=True)):
            rng = self._population.rng(draws.NOISE, _LAYERS.index(self._layer), block, row, kind)
            # einsum, not BLAS: its sums do not depend on threads
            signal = np.einsum("k,kf->f", self._scores[index], features.weight)
            value = features.base + features.scale * (signal + rng.standard_normal(size, dtype="f4"))
            if self._layer == "methylation":
                codes[index] = _beta_codes(rng, value)
            else:
                codes[index] = _counts(rng, value + self._depth[index])
        return codes.T


def _beta_codes(rng: np.random.Generator, value: np.ndarray) -> np.ndarray:
    codes = np.rint(10_000 / (1 + np.exp2(-value)))
    codes[rng.integers(codes.size, size=rng.binomial(codes.size, _MISSING_CPGS))] = _MISSING
    return codes


def _counts(rng: np.random.Generator, value: np.ndarray) -> np.ndarray:
    return np.minimum(rng.poisson(np.exp(np.minimum(value, 13.0))), _MAX_COUNT)


def _scores(population: Population, cohort: Cohort) -> pd.DataFrame:
    """Score of every programme and factor, one row a patient."""
    member = cohort.patients.subtype.to_numpy()[:, None] == np.arange(len(SUBTYPES))
    activity = (1 + 0.15 * cohort.normal.activity.to_numpy()[:, None]) * (not population.null)
    programmes = pd.DataFrame(member * activity, columns=[subtype.name for subtype in SUBTYPES])
    return pd.concat([programmes, cohort.patients[list(FACTORS)]], axis=1)


def _site_scores(cohort: Cohort) -> np.ndarray:
    """Two sites that differ, and drift within each, so that they overlap."""
    return (cohort.patients.site - 0.5 + 0.5 * cohort.normal.drift).to_numpy()


def _strongest(before: pd.DataFrame, layer: str, names: Sequence[str], weight: np.ndarray) -> pd.DataFrame:
    """The strongest weights of each layer and factor so far: a bounded table, however many features there are."""
    factors = np.array([name for name, _, _ in _score_kinds(layer)])
    row, column = np.nonzero(weight)
    found = {"layer": layer, "factor": factors[row], "feature": np.array(names, dtype=object)[column]}
    table = pd.concat([before, pd.DataFrame({**found, "weight": weight[row, column]})], ignore_index=True)
    table = table.sort_values("weight", key=abs, ascending=False, kind="stable")
    return table.groupby(["layer", "factor"], sort=False).head(_TOP_WEIGHTS)


# --- names and text -----------------------------------------------------------------------------------------------


def _names(population: Population, layer: str, part: slice) -> list[str]:
    if layer == "methylation":  # a step without a common factor with the number of ids visits each id once
        return [f"cg{(index * 7_368_787 + 4_321_009) % _N_PROBE_IDS:08d}" for index in range(part.start, part.stop)]
    return _genes(population.n_genes)[part]


def _genes(n_genes: int) -> list[str]:
    """Known genes first, then Ensembl ids as of genes without a symbol."""
    markers = [gene for genes in draws.MARKERS.values() for gene in genes]
    known = list(dict.fromkeys([*markers, *draws.RESISTANCE_MARKERS, *(gene.symbol for gene in DRIVERS)]))
    return [*known[:n_genes], *(f"ENSG{index * 37 + 100_003:011d}" for index in range(n_genes - len(known)))]


@lru_cache(maxsize=2)
def _fields(layer: str) -> np.ndarray:
    """Text of each code, eight bytes that begin with a tab and end in zero bytes."""
    if layer == "methylation":
        texts = [*(b"\t%.4f" % (code / 10_000) for code in range(_MISSING)), b"\tNA"]
    else:
        texts = [b"\t%d" % code for code in range(_MAX_COUNT + 1)]
    return np.array(texts, dtype="S8").view(np.uint64)


def _lines(names: Sequence[str], codes: np.ndarray, fields: np.ndarray) -> Iterator[bytes]:
    """Lines of a matrix, some hundred at a time: laid out at equal width, then the padding goes in one sweep."""
    labels = np.array(names, dtype="S")
    width, wide = labels.dtype.itemsize, codes.shape[1] * 8
    for part in slices(len(names), 512):
        lines = np.empty((part.stop - part.start, width + wide + 1), dtype=np.uint8)
        lines[:, :width] = labels[part].view(np.uint8).reshape(-1, width)
        lines[:, width:-1] = fields[np.ascontiguousarray(codes[part])].view(np.uint8).reshape(-1, wide)
        lines[:, -1] = ord("\n")
        yield lines.tobytes().translate(None, b"\0")


class _GzipWriter(gzip.GzipFile):
    """Gzip whose bytes depend on the content alone: no time and no name in the header."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        super().__init__("", "wb", compresslevel=1, fileobj=self._raw, mtime=0)

    def close(self) -> None:
        """End the stream and close the file."""
        super().close()
        self._raw.close()


def _write_table(table: pd.DataFrame, path: Path) -> None:
    text = table.to_csv(sep="\t", index=False, lineterminator="\n").encode()
    path.write_bytes(gzip.compress(text, 1, mtime=0) if path.suffix == ".gz" else text)


def _write_probes(path: Path, population: Population) -> None:
    """Chromosome, position and gene of the probes; one in four lies in no gene."""
    genes = np.array(_genes(population.n_genes), dtype=object)
    with path.open("w", newline="") as file:
        for block, part in enumerate(slices(population.n_cpgs, _BLOCK)):
            rng, size = population.rng(draws.ANNOTATION, block), part.stop - part.start
            table = pd.DataFrame({"probe": _names(population, "methylation", part)})
            table["chromosome"] = _CHROMOSOMES[rng.integers(_CHROMOSOMES.size, size=size)]
            table["position"] = rng.integers(1_000_000, 45_000_000, size=size)
            table["gene"] = np.where(rng.random(size) < 0.75, genes[rng.integers(genes.size, size=size)], "")
            for gene in DRIVERS:
                inside = table.gene == gene.symbol
                table.loc[inside, "chromosome"] = gene.chromosome
                table.loc[inside, "position"] = gene.start + table.position[inside] % 20_000
            table.to_csv(file, sep="\t", index=False, header=block == 0, lineterminator="\n")


# --- tables -------------------------------------------------------------------------------------------------------


def _mutations(population: Population, cohort: Cohort) -> tuple[pd.DataFrame, Iterable[str]]:
    """MAF rows, and the barcodes of all sequenced samples, with or without a row."""
    symbols = [gene.symbol for gene in DRIVERS]
    drives = np.isin(symbols, draws.RESISTANCE_MUTATIONS)
    share = population.traits()[symbols].to_numpy()[cohort.patients.subtype]
    drivers = expit(logit(share) + 0.8 * cohort.patients.resistance.to_numpy()[:, None] * drives)
    passengers = 0.03 * np.exp(0.7 * cohort.patients.mutation_only.to_numpy().clip(max=3.0))
    samples = cohort.samples("mutation")
    rows: list[dict[str, object]] = []
    for row, kind, barcode in zip(samples.row, samples.kind, samples.barcode, strict=True):
        rng = population.rng(draws.VARIANTS, row)  # the same stream at relapse: the same variants again
        chance = np.concatenate([drivers[row], np.full(len(draws.PASSENGERS), passengers[row])])
        rows.extend(_variants(rng, chance, barcode))
        if kind == _RELAPSE and rng.random() < 0.2:
            rows.append(_variant(rng, DRIVERS[symbols.index(_GAINED)], "Missense_Mutation", barcode))
    return pd.DataFrame(rows, columns=_MAF_COLUMNS), samples.barcode


def _variants(rng: np.random.Generator, chance: np.ndarray, barcode: str) -> Iterator[dict[str, object]]:
    genes = (*DRIVERS, *draws.PASSENGERS)
    for index in np.flatnonzero(rng.random(chance.size) < chance):
        yield _variant(rng, genes[index], str(rng.choice(list(_CLASSES), p=list(_CLASSES.values()))), barcode)
    for index in rng.integers(len(genes), size=rng.poisson(2.0)):
        yield _variant(rng, genes[index], "Silent", barcode)


_MAF_COLUMNS = (
    *(
        "Hugo_Symbol",
        "Entrez_Gene_Id",
        "Center",
        "NCBI_Build",
        "Chromosome",
        "Start_Position",
        "End_Position",
        "Strand",
    ),
    *("Variant_Classification", "Variant_Type", "Reference_Allele", "Tumor_Seq_Allele1", "Tumor_Seq_Allele2"),
    "Tumor_Sample_Barcode",
)


def _variant(rng: np.random.Generator, gene: draws.Gene, classification: str, barcode: str) -> dict[str, object]:
    first, second = rng.permutation(list("ACGT"))[:2].tolist()
    start = gene.start + int(rng.integers(5_000))
    kind = {"Del": "DEL", "Ins": "INS"}.get(classification[-3:], "SNP")
    end = start + (classification == "In_Frame_Del") * 2 + (kind == "INS")
    reference = {"INS": "-", "DEL": first * (end - start + 1)}.get(kind, first)
    alternative = "-" if kind == "DEL" else second
    place = (gene.symbol, gene.entrez, "simulated", "GRCh38", gene.chromosome, start, end, "+")
    values = (*place, classification, kind, reference, reference, alternative, barcode)
    return dict(zip(_MAF_COLUMNS, values, strict=True))


def _clinical(population: Population, cohort: Cohort) -> pd.DataFrame:
    """The clinical table as a data manager would send it; missing fields are empty."""
    drawn, outcomes, patients = cohort.uniform, cohort.outcomes, cohort.patients
    known = population.traits().take(patients.subtype.to_numpy()).reset_index(drop=True)
    label = known.name.mask(drawn.label < known.cryptic, "B-other").mask(drawn.label > 0.96, "")
    mrd = 10.0**patients.mrd_log10
    high = (patients.age >= 10) | (patients.wbc >= 50)
    event = outcomes.code.map({code: word.capitalize() for code, word in EVENT_CODES.items()}).fillna("")
    return pd.DataFrame(
        {
            "patient_id": cohort.ids,
            "age_years": patients.age.round(2),
            "sex": np.where(drawn.sex < 0.55, "Male", "Female"),
            "wbc_at_diagnosis": patients.wbc.round(1),
            "mrd_end_of_induction": mrd.where(mrd >= 1e-5, 0.0).round(6).mask(drawn.mrd_missing < 0.04),
            "nci_risk": np.where(high, "High", "Standard"),
            "clinical_subtype": label,
            "site": np.where(patients.site == 1, "Site A", "Site B"),
            "protocol": np.where(drawn.accrual < 0.5, "ALL-2003", "ALL-2010"),
            "refractory": outcomes.refractory,
            "first_event": event,
            "event_days": outcomes.event_days.astype("Int64").mask(outcomes.refractory == 1),
            "death": outcomes.death,
            "death_days": outcomes.death_days,
        }
    )


def _write_truth(
    folder: Path, population: Population, cohort: Cohort, strongest: pd.DataFrame, sets: Sequence[GeneSet]
) -> None:
    scores = _scores(population, cohort).assign(site=_site_scores(cohort))
    names = np.array([subtype.name for subtype in SUBTYPES])[cohort.patients.subtype]
    patients = {
        "patient": cohort.ids,
        "subtype": np.where(population.null, "none", names),
        "resistance": cohort.patients.resistance,
        "linear_predictor": cohort.patients.linear_predictor,
        "relapse_risk_5y": cohort.risk,
    }
    _write_table(pd.DataFrame(patients).round(6), folder / "patients.tsv")
    scores.insert(0, "patient", cohort.ids)
    _write_table(scores.round(6), folder / "factors.tsv")
    _write_table(strongest.round(6), folder / "weights.tsv")
    summary = {**_summary(population, cohort), "gene_sets": truth(sets), "gained_at_relapse": [_GAINED]}
    (folder / "truth.json").write_text(json.dumps(summary, indent=2) + "\n")


def _summary(population: Population, cohort: Cohort) -> dict[str, object]:
    """What was planted, and the rates that were drawn."""
    code, effect = cohort.outcomes.code, 0.0 if population.null else 1.0
    return {
        "seed": population.seed,
        "null": population.null,
        "n_patients": len(cohort.ids),
        "n_cpgs": population.n_cpgs,
        "n_genes": population.n_genes,
        "subtype_shares": {} if population.null else {subtype.name: subtype.share for subtype in SUBTYPES},
        "factors": {name: list(layers) for name, layers in FACTORS.items()},
        "relapse_factor": None if population.null else "resistance",
        "log_hazard_ratios": {
            **{name: effect * value for name, value in draws.LOG_HAZARDS.items()},
            **{subtype.name: effect * subtype.log_hazard for subtype in SUBTYPES},
        },
        "rates_planted": {EVENT_CODES[cause.code]: cause.incidence for cause in draws.CAUSES},
        "rates_drawn": {
            "refractory": float((code == -1).mean()),
            **{EVENT_CODES[cause.code]: float((code == cause.code).mean()) for cause in draws.CAUSES},
        },
    }
