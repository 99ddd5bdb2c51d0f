"""The patients of a simulated cohort: subtypes, factors, clinical variables and outcomes, before any file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit


class Gene(NamedTuple):
    """A gene that a MAF row needs; `start` is where it begins on GRCh38, to the nearest kilobase or so."""

    symbol: str
    entrez: int
    chromosome: str
    start: int


def _genes(table: str) -> tuple[Gene, ...]:
    rows = (row.split() for row in table.split(";"))
    return tuple(Gene(symbol, int(entrez), f"chr{name}", int(start)) for symbol, entrez, name, start in rows)


#: Genes that drive childhood ALL.
DRIVERS = _genes("""
    NRAS 4893 1 114704469; KRAS 3845 12 25205246; PTPN11 5781 12 112418947; FLT3 2322 13 28003274;
    NT5C2 22978 10 103087185; CREBBP 1387 16 3725054; TP53 7157 17 7661779; IKZF1 10320 7 50304716;
    PAX5 5079 9 36833275; JAK1 3716 1 64833223; JAK2 3717 9 4984390; CRLF2 64109 X 1190449;
    IL7R 3575 5 35852695; ABL1 25 9 130713016; ERG 2078 21 38367261; ETV6 2120 12 11649674;
    RUNX1 861 21 34787801; CDKN2A 1029 9 21967752; BTG1 694 12 92140278; RB1 5925 13 48303744;
    KMT2D 8085 12 49018978; SETD2 29072 3 47016428; NSD2 7468 4 1871424; NOTCH1 4851 9 136494433;
    FBXW7 55294 4 152320544; PTEN 5728 10 87862625; PHF6 84295 X 134373253; EZH2 2146 7 148807257;
    CTCF 10664 16 67562467; MSH6 2956 2 47695530; NR3C1 2908 5 143277931; PRPS1 5631 X 107628428
""")

#: Long genes that collect mutations without meaning.
PASSENGERS = _genes("""
    TTN 7273 2 178525989; MUC16 94025 19 8848844; OBSCN 84033 1 228208130; SYNE1 23345 6 152121684;
    RYR1 6261 19 38433699; RYR2 6262 1 237042205; CSMD1 64478 8 2935353; CSMD3 114788 8 112222928;
    FAT1 2195 4 186587789; FLG 2312 1 152302175; LRP1B 53353 2 140231423; USH2A 7399 1 215622891;
    PCLO 27445 7 82754011; DNAH5 1767 5 13690328; DNAH11 8701 7 21543039; HMCN1 83872 1 185734391;
    XIRP2 129446 2 166888487; SPTA1 6708 1 158610704; ZFHX4 79776 8 76681219; APOB 338 2 21001429
""")


class Subtype(NamedTuple):
    """What is planted for one subtype; `age` (years), `wbc` (10^9/L) and `mrd` (fraction) are medians."""

    name: str
    share: float
    age: float
    wbc: float
    mrd: float
    log_hazard: float
    cryptic: float  # share that the clinic calls B-other


SUBTYPES = (
    Subtype("High hyperdiploid", 0.28, 4.0, 9.0, 2e-4, -0.4, 0.03),
    Subtype("ETV6::RUNX1", 0.24, 4.5, 11.0, 1e-4, -0.6, 0.02),
    Subtype("BCR::ABL1-like", 0.14, 10.0, 45.0, 1e-3, 0.6, 0.30),
    Subtype("DUX4-rearranged", 0.11, 9.0, 12.0, 1e-3, -0.4, 0.40),
    Subtype("TCF3::PBX1", 0.09, 6.0, 35.0, 2e-4, 0.0, 0.05),
    Subtype("KMT2A-rearranged", 0.08, 2.0, 120.0, 1e-3, 0.9, 0.02),
    Subtype("BCR::ABL1", 0.06, 9.0, 60.0, 1e-3, 0.7, 0.02),
)

#: Genes that a subtype expresses more than the others.
MARKERS = {
    "High hyperdiploid": ("SOD1", "IL3RA", "SH3BP5"),
    "ETV6::RUNX1": ("EPOR", "TCFL5", "PIK3C3"),
    "BCR::ABL1-like": ("JCHAIN", "SPATS2L", "MUC4", "CA6"),
    "DUX4-rearranged": ("DUX4", "CLEC12A", "AGAP1", "GPR155"),
    "TCF3::PBX1": ("PBX1", "MERTK", "WNT16", "ROR1"),
    "KMT2A-rearranged": ("MEIS1", "HOXA9", "HOXA10", "LAMP5", "PROM1"),
    "BCR::ABL1": ("SEMA6A", "SOCS2", "GAB1"),
}

#: Share of the patients of a subtype with a mutation of the gene, where it is not the background.
MUTATIONS = {
    "High hyperdiploid": {"NRAS": 0.25, "KRAS": 0.22, "FLT3": 0.12, "PTPN11": 0.13, "CREBBP": 0.10},
    "ETV6::RUNX1": {"ETV6": 0.30, "NSD2": 0.15, "BTG1": 0.12, "CDKN2A": 0.15, "PAX5": 0.10},
    "BCR::ABL1-like": {"IKZF1": 0.60, "CRLF2": 0.30, "JAK2": 0.25, "JAK1": 0.08, "CDKN2A": 0.30, "IL7R": 0.08},
    "DUX4-rearranged": {"ERG": 0.45, "NRAS": 0.25, "KMT2D": 0.15, "IKZF1": 0.30, "TP53": 0.06},
    "TCF3::PBX1": {"PHF6": 0.15, "CDKN2A": 0.25, "SETD2": 0.08, "PAX5": 0.12},
    "KMT2A-rearranged": {"NRAS": 0.22, "KRAS": 0.25, "FLT3": 0.15},
    "BCR::ABL1": {"IKZF1": 0.70, "PAX5": 0.30, "CDKN2A": 0.35, "RUNX1": 0.12, "SETD2": 0.10},
}

#: Factors beyond the subtypes and the layers that each one loads on; the first drives relapse.
FACTORS = {
    "resistance": ("methylation", "expression", "mutation"),
    "differentiation": ("methylation", "expression"),
    "methylation_only": ("methylation",),
    "expression_only": ("expression",),
    "mutation_only": ("mutation",),
}
RESISTANCE_MARKERS = {"NR3C1": -2.0, "TSC22D3": -1.5, "BCL2": 1.5, "CCN2": 1.5}
RESISTANCE_MUTATIONS = ("NT5C2", "CREBBP", "TP53", "KMT2D", "NR3C1", "MSH6", "SETD2")
#: Share of patients with a mutation of any other driver.
_BACKGROUND = 0.02

LOG_HAZARDS = {"resistance": 1.1, "mrd_log10": 0.20, "age_decade": 0.20, "log_wbc": 0.10}
_REFRACTORY, _REFRACTORY_SLOPE = 0.02, 0.8


class Cause(NamedTuple):
    """A cause of the first event: incidence by 8 years among patients in remission, and the Weibull that it follows."""

    code: int
    incidence: float
    shape: float
    scale: float
    prognostic: bool


CAUSES = (
    Cause(1, 0.137, 1.8, 2.6, prognostic=True),
    Cause(2, 0.025, 1.0, 1.2, prognostic=False),
    Cause(3, 0.011, 1.5, 6.0, prognostic=False),
)
_DEATH_AFTER = {1: 0.62, 2: 1.0, 3: 0.40}
_REFRACTORY_DEATH = 0.60

_LACKS = {"methylation": 0.10, "expression": 0.10, "mutation": 0.12}
_RELAPSE_SAMPLE = 0.5
#: TARGET's tissue codes at diagnosis, at relapse and of normal cells; marrow and blood.
_TISSUES = (("09A", "09A"), ("04A", "40A"), ("10A", "10A"))
_NORMAL_EVERY = 150


# What a random stream is for: the first number after the seed. They begin at 2 because there the default cohort has
# the usual number of relapses; it is the one that people see.
PATIENT, REFERENCE, WEIGHTS, NOISE, VARIANTS, ANNOTATION, IDS, SETS = range(2, 10)


class Population(NamedTuple):
    """All that is decided before a patient is drawn."""

    seed: int
    n_cpgs: int
    n_genes: int
    null: bool

    def rng(self, *stream: int) -> np.random.Generator:
        """Generator of one purpose, independent of all others."""
        return np.random.default_rng([self.seed, *stream])

    def traits(self) -> pd.DataFrame:
        """Traits of the subtypes, one row each; of the null, every row is the mean."""
        table = pd.DataFrame(SUBTYPES)
        table = table.assign(age=np.log(table.age), wbc=np.log(table.wbc), mrd=np.log10(table.mrd))
        for gene in DRIVERS:
            table[gene.symbol] = [MUTATIONS[name].get(gene.symbol, _BACKGROUND) for name in table.name]
        if self.null:
            for column in table.columns.difference(["name", "share"]):
                table[column] = np.average(table[column], weights=table.share)
        return table


# --- patients -----------------------------------------------------------------------------------------------------

_UNIFORM = [
    *("subtype", "label", "sex", "site", "accrual", "lost", "loss_time", "refractory", "relapse_sample", "mrd_missing"),
    *(f"cause_{cause.code}" for cause in CAUSES),
    *("death", "death_delay", *(f"lacks_{layer}" for layer in _LACKS)),
]
_NORMAL = ["age", "wbc", "mrd", "drift", "activity", "depth", *FACTORS]


def _draws(generators: Sequence[np.random.Generator], n_each: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Uniform and normal numbers, `n_each` rows of each generator."""
    pairs = [(rng.random((n_each, len(_UNIFORM))), rng.standard_normal((n_each, len(_NORMAL)))) for rng in generators]
    uniform, normal = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return pd.DataFrame(uniform, columns=_UNIFORM), pd.DataFrame(normal, columns=_NORMAL)


def _biology(population: Population, uniform: pd.DataFrame, normal: pd.DataFrame) -> pd.DataFrame:
    """Subtype, factors, clinical variables and linear predictor of patients."""
    traits = population.traits()
    subtype = np.searchsorted(np.cumsum(traits.share)[:-1], uniform.subtype, side="right")
    own = traits.take(subtype).reset_index(drop=True)
    mrd = own.mrd + 0.25 * normal.resistance + 0.8 * normal.mrd
    patients = pd.DataFrame(
        {
            "subtype": subtype,
            "site": (uniform.site < 0.6).astype(int),
            "age": np.clip(np.exp(own.age + 0.5 * normal.age), 0.1, 17.9),
            "wbc": np.clip(np.exp(own.wbc + 1.1 * normal.wbc), 0.5, 900.0),
            "mrd_log10": mrd.clip(upper=-0.1),
            **{name: normal[name] for name in FACTORS},
        }
    )
    covariates = {
        "resistance": patients.resistance,
        "mrd_log10": patients.mrd_log10 + 3.5,
        "age_decade": (patients.age - 6.0) / 10.0,
        "log_wbc": np.log(patients.wbc) - 3.0,
    }
    effects = sum(LOG_HAZARDS[name] * values for name, values in covariates.items())
    patients["linear_predictor"] = 0.0 if population.null else own.log_hazard + effects
    return patients


class Hazards(NamedTuple):
    """Calibrated to the rates of the population: intercept of refractory disease, scale of each cause's hazard."""

    refractory: float
    theta: np.ndarray  # (cause,)


def _calibrate(population: Population) -> Hazards:
    """Solve for the baselines on a fixed sample of 20,000 patients of the population, none of them drawn later."""
    reference = _biology(population, *_draws([np.random.default_rng(REFERENCE)], 20_000))
    lp = np.quantile(reference.linear_predictor, (np.arange(400) + 0.5) / 400)
    refractory = float(brentq(lambda start: expit(start + _REFRACTORY_SLOPE * lp).mean() - _REFRACTORY, -30.0, 10.0))
    in_remission = 1.0 - expit(refractory + _REFRACTORY_SLOPE * lp)
    wanted = np.array([cause.incidence for cause in CAUSES])
    theta = wanted / np.exp([lp.mean() * cause.prognostic for cause in CAUSES])
    for _ in range(60):
        theta = theta * wanted / np.average(_incidence(theta, lp, 8.0), axis=1, weights=in_remission)
    return Hazards(refractory, theta)


def _incidence(theta: np.ndarray, lp: np.ndarray, horizon: float) -> np.ndarray:
    """Cumulative incidence of each cause at `horizon` given competing causes, shape (cause, patient).

    F_c(t) = int_0^t exp(-sum_d H_d(u)) dH_c(u), by the trapezoid rule.
    """
    grid = np.linspace(0.0, horizon, 201)
    shapes = np.array([[-np.expm1(-((grid / c.scale) ** c.shape))] for c in CAUSES])  # (cause, 1, time)
    risk = np.exp([lp * cause.prognostic for cause in CAUSES])  # (cause, patient)
    hazard = (theta[:, None] * risk)[:, :, None] * shapes  # (cause, patient, time)
    free = np.exp(-hazard.sum(axis=0))  # (patient, time)
    return np.sum(np.diff(hazard, axis=2) * (free[:, 1:] + free[:, :-1]) / 2, axis=2)


def _outcomes(patients: pd.DataFrame, uniform: pd.DataFrame, hazards: Hazards) -> pd.DataFrame:
    """First event, death and follow-up in days; a refractory patient has no first event after a remission."""
    lp = patients.linear_predictor.to_numpy()
    lost = uniform.lost < 0.08
    follow_up = np.where(lost, 0.5 + 4.5 * uniform.loss_time, 11.5 - 6.0 * uniform.accrual)
    times = np.stack([_event_times(c, hazards.theta[k], lp, uniform[f"cause_{c.code}"]) for k, c in enumerate(CAUSES)])
    refractory = uniform.refractory.to_numpy() < expit(hazards.refractory + _REFRACTORY_SLOPE * lp)
    first = times.min(axis=0)
    code = np.where(first <= follow_up, np.array([cause.code for cause in CAUSES])[times.argmin(axis=0)], 0)
    code[refractory] = -1
    event_time = np.where(refractory, 0.1, np.minimum(first, follow_up))
    chance = pd.Series(code).map({**_DEATH_AFTER, 0: 0.0, -1: _REFRACTORY_DEATH}).to_numpy()
    delay = np.where(code == 2, 0.0, -1.3 * np.log(uniform.death_delay))
    death_time = np.where(uniform.death < chance, event_time + delay, np.inf)
    days = {"event_days": event_time, "death_days": np.minimum(death_time, np.maximum(follow_up, event_time))}
    return pd.DataFrame(
        {
            "code": code,
            "refractory": refractory.astype(int),
            "death": (death_time <= days["death_days"]).astype(int),
            **{name: np.ceil(np.maximum(years * 365.25, 1.0)).astype(int) for name, years in days.items()},
        }
    )


def _event_times(cause: Cause, theta: float, lp: np.ndarray, uniform: pd.Series) -> np.ndarray:
    """Invert the cumulative hazard theta exp(lp) (1 - exp(-(t / scale)^shape)); infinite beyond its plateau."""
    share = -np.log(uniform.to_numpy()) / (theta * np.exp(lp * cause.prognostic))
    reached = np.where(share < 1, share, np.nan)
    return np.nan_to_num(cause.scale * (-np.log1p(-reached)) ** (1 / cause.shape), nan=np.inf)


class Cohort(NamedTuple):
    """The drawn patients, one row each in every table; `uniform` and `normal` are the numbers that decided them."""

    ids: list[str]
    uniform: pd.DataFrame
    normal: pd.DataFrame
    patients: pd.DataFrame
    outcomes: pd.DataFrame
    risk: np.ndarray

    def samples(self, layer: str) -> pd.DataFrame:
        """Samples of a layer in the order of the patients: row of the patient, kind (index of `_TISSUES`), barcode."""
        lacks = pd.DataFrame({name: self.uniform[f"lacks_{name}"] < share for name, share in _LACKS.items()})
        lacks["mutation"] &= ~(lacks.methylation & lacks.expression)  # every patient is in some layer
        has = ~lacks[layer]
        index = np.arange(len(self.ids))
        relapse = has & (self.outcomes.code == 1) & (self.uniform.relapse_sample < _RELAPSE_SAMPLE)
        normal = has & (index % _NORMAL_EVERY == _NORMAL_EVERY // 2) & (layer == "methylation")
        row, kind = np.nonzero(np.column_stack([has, relapse, normal]))
        suffix = "01R" if layer == "expression" else "01D"
        barcodes = [f"{self.ids[r]}-{_TISSUES[k][r % 2]}-{suffix}" for r, k in zip(row, kind, strict=True)]
        return pd.DataFrame({"row": row, "kind": kind, "barcode": barcodes})


def draw(population: Population, n_patients: int) -> Cohort:
    """Draw patients; the first ones are the same whatever their number."""
    uniform, normal = _draws([population.rng(PATIENT, row) for row in range(n_patients)], 1)
    patients = _biology(population, uniform, normal)
    hazards = _calibrate(population)
    risk = _incidence(hazards.theta, patients.linear_predictor.to_numpy(), 5.0)[0]
    codes = (np.arange(n_patients) * 100_003 + population.rng(IDS).integers(26**4)) % 26**4  # 100,003 is prime
    ids = [f"TARGET-10-PA{_letters(code)}" for code in codes.tolist()]
    return Cohort(ids, uniform, normal, patients, _outcomes(patients, uniform, hazards), risk)


def _letters(code: int) -> str:
    return "".join(chr(ord("A") + code // 26**place % 26) for place in (3, 2, 1, 0))
