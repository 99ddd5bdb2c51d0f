"""Which factors go with relapse, and which patients do they define: SUPERVISED groups, judged on held-out patients.

Subtypes (:mod:`omics.subtypes`) are found without the outcome, and may be compared by it afterwards. The groups here
are found *with* the outcome, so the patients who found them cannot confirm them: in each fold factors are selected,
weighed and cut on the training patients, and only the others are put into a group and compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import comprisk
import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from omics.blocks import each
from omics.outcome import ENDPOINTS, cox, logrank_test
from omics.outcome import endpoint as endpoint_table
from omics.outcome.curves import RELAPSE, RiskTable, risk_table
from omics.predict.splits import group_of
from omics.predict.stable_factors import (
    Fold,
    Groups,
    Learnt,
    Problem,
    Rules,
    crossed,
    false_selections,
    grouped,
    kept_at_most,
    learn,
)
from omics.schema import DataError, UsageError, refuse_duplicates

HIGH, LOW, NONE = "high", "low", "none"
HELD_OUT, CIRCULAR = "held_out", "circular"
#: Fewest events, in all and among the patients of one fold.
EVENTS_AT_LEAST, EVENTS_IN_A_FOLD = 10, 2
#: Level at which the verdict speaks of a difference.
LEVEL = 0.05
#: Parts of the seeds of independent streams of random numbers.
_CIRCULAR_STREAM, _PERMUTATION_STREAM = 2001, 2002

_REMARKS = {
    "asymptotic": "one-sided, but folds share training patients, so it is too small; n_permutations gives a valid one",
    "permutation": "one-sided; the larger of {dealt:.2g} (everything repeated on outcomes dealt out anew) and "
    "{alone:.2g} (held-out patients alone: that groups are found at all may be rare by chance, and is no difference)",
    "again": "another split of the same patients: no further evidence",
    "alike": "nothing to compare: all are in one group, or nobody has an event while both are followed",
    CIRCULAR: "CIRCULAR: tested on the patients who were used to find the factors; must not be read as evidence",
}
_NOTHING = "no factor was selected, so there are no groups"


class RelapseGroups(NamedTuple):
    """Supervised groups of patients, and what supports them.

    Attributes
    ----------
    factors : DataFrame
        ``repeat, fold, factor, frequency`` (share of the half-samples that kept the factor), ``selected`` (bool),
        ``coefficient`` (log hazard ratio per standard deviation, NaN where not selected).
    overall : DataFrame
        ``factor, frequency`` (mean over folds and repeats), ``folds_selected, folds, coefficient`` (mean where
        selected); most often selected first.
    folds : DataFrame
        ``repeat, fold, n_training, events_training, n_held_out, events_held_out, n_kept`` (factors a half-sample
        keeps), ``false_selections`` (bound of their expected number), ``n_selected, cut`` (risk above which a patient
        is in the high group, NaN where nothing was selected).
    patients : DataFrame
        ``sample, repeat, fold, risk`` (log hazard against the mean training patient, NaN where nothing was selected),
        ``group`` (high, low, or none where nothing was selected), all as a held-out patient.
    tests : DataFrame
        ``name`` (held_out or circular), ``repeat, test`` (gray or logrank), ``n`` (patients in a group), ``n_high,
        events, statistic`` (chi-square, which has no direction), ``p_value`` (ONE-sided: that the high group has more
        events; above a half where it has fewer), ``method`` (asymptotic, or permutation: the larger of both),
        ``n_permutations, hazard_ratio, lower, upper`` (of the cause, high against low, within folds; always
        asymptotic, so too narrow), ``evidence`` (bool: only the first row may be read as evidence, which its p-value
        then gives or does not give), ``remark``.
    verdict : str
        One line for people.
    """

    factors: pd.DataFrame
    overall: pd.DataFrame
    folds: pd.DataFrame
    patients: pd.DataFrame
    tests: pd.DataFrame
    verdict: str


@threadpool_limits.wrap(limits=1)  # repeats and permutations run side by side
def relapse_groups(
    scores: pd.DataFrame,
    clinical: pd.DataFrame,
    *,
    endpoint: str = "relapse",
    n_folds: int = 5,
    n_repeats: int = 1,
    n_halves: int = 100,
    threshold: float = 0.7,
    high: float = 1 / 3,
    n_permutations: int = 0,
    random_state: int = 0,
) -> RelapseGroups:
    """Factors that go with an endpoint, and the groups of patients they define, tested on held-out patients only.

    The factors themselves were learnt without any outcome, so that scores of one factor model of all patients leak
    nothing: what is learnt *with* the outcome is learnt in each fold from its training patients alone.

    1. Factors are standardised. Each of `n_halves` half-samples (complementary pairs, with half of the events each)
       keeps the q factors that first enter the lasso path of a cause-specific Cox regression, in which competing events
       censor. A factor is selected if the share of half-samples that keep it reaches the threshold pi; q is the largest
       for which the expected number of falsely selected factors, of p, is at most one:
       ``E[V] <= q^2 / ((2 pi - 1) p)``. With q = 1 at most one is selected at all.
    2. A Cox regression on the selected factors gives ``risk = x b``; the cut is its ``1 - high`` quantile among the
       training patients.
    3. Held-out patients above the cut are the high group. Where nothing was selected they have none, which is a normal
       outcome.

    High and low are compared by Gray's test (the log-rank test where nothing competes) with the folds as strata, for
    only patients of one fold were judged by the same rule. What is predicted has a direction, and so has the test:
    ``z = U / sqrt(V)``, U the events of the high group beyond those expected, and the p-value is that of a z as large.
    Fewer events than expected are no finding, however many fewer.

    Score and variance are right within a fold; but a fold is in the training set of the others, so that scores of folds
    are correlated and the asymptotic p-value, ``1 - Phi(z)``, is too small: at a level of 5 % it rejects 8 to 11 %
    where noise is selected in every fold. `n_permutations` deals out the outcomes (time and event together) anew,
    repeats everything, folds included, and counts ``(1 + number of z as large) / (1 + n_permutations)``, where z is 0
    without groups. That is valid for the procedure as a whole, but where permutations seldom select anything it is
    small for any z above 0: it then says that there *are* groups, not that held-out patients differ. So the p-value
    given is the larger of it and the asymptotic one, which asks just that; what is never below a valid p-value is
    valid. It is 1 if nothing compares. The permutations suppose that censoring does not depend on the factors either.

    Parameters
    ----------
    scores : DataFrame, shape (sample, factor)
        Factor scores, one row a patient; the order of rows and columns does not matter.
    clinical : DataFrame
        Clinical table, indexed by sample. Patients of unknown outcome, or not at risk, are left out.
    endpoint : str
        Name in :data:`omics.outcome.ENDPOINTS`.
    n_folds, n_repeats : int
        Folds, and repeats with other folds; these show how much depends on the split, and are no further evidence.
    n_halves : int
        Half-samples of the stability selection, an even number.
    threshold : float
        Share of half-samples, above a half, that must keep a factor.
    high : float
        Share of training patients in the high group.
    n_permutations : int
        Runs with outcomes dealt out anew, one dask task each; 0 leaves the asymptotic p-value alone.
    random_state : int
        Seed.

    Returns
    -------
    RelapseGroups
        Tables and a verdict. The test named ``circular`` is that of groups found with, and tested on, all patients; it
        is there to show how far that misleads.

    Raises
    ------
    UsageError
        A number is out of range, or the endpoint is unknown.
    DataError
        A sample has no clinical row, ids are not unique, a score is missing, a factor is constant, or as
        :func:`relapse_groups_need`.

    References
    ----------
    Meinshausen, Buhlmann. JRSS B 2010;72:417-473. Shah, Samworth. JRSS B 2013;75:55-80.
    Simon, Subramanian, Li, Menezes. Briefings in Bioinformatics 2011;12:203-214.
    Gray. Annals of Statistics 1988;16:1141-1154.
    """
    _refuse_settings(n_folds, n_repeats, n_halves, threshold, high, n_permutations)
    scores = _checked_scores(scores, clinical)
    samples, outcome = _outcome(clinical.loc[scores.index], endpoint, n_folds)
    scores = scores.loc[samples]
    _refuse_constant(scores)
    problem = outcome._replace(x=scores.to_numpy(float))
    rules = Rules(n_folds, n_halves, threshold, high, kept_at_most(scores.shape[1], threshold))
    seeds = [int(seed) for seed in np.random.SeedSequence(random_state).generate_state(n_repeats)]
    repeats = each(crossed, seeds, problem, rules)
    null = np.array(each(_permuted, range(n_permutations), problem, rules, seeds[0], random_state))
    circular = learn(problem, rules, [random_state, _CIRCULAR_STREAM])
    factors = _factors(repeats, list(scores.columns))
    tests = _tests(problem, repeats, circular, null)
    return RelapseGroups(
        factors=factors,
        overall=_overall(factors),
        folds=_folds(problem, repeats, rules),
        patients=_patients(repeats, scores.index),
        tests=tests,
        verdict=_verdict(tests, factors[factors["repeat"] == 0], ENDPOINTS[endpoint].meaning),
    )


def relapse_groups_need(clinical: pd.DataFrame, *, endpoint: str = "relapse", n_folds: int = 5) -> None:
    """Refuse a clinical table of which :func:`relapse_groups` would find nothing; cheap, to be asked before long work.

    Parameters
    ----------
    clinical : DataFrame
        Clinical table, indexed by sample, of the patients who have scores.
    endpoint : str
        Name in :data:`omics.outcome.ENDPOINTS`.
    n_folds : int
        Folds.

    Raises
    ------
    UsageError
        There are fewer than two folds, or the endpoint is unknown or has no times.
    DataError
        Ids are not unique, a patient has several samples or came under observation late, a column that the endpoint
        needs is missing or wrong, or there are fewer than ten events, or two in a fold.
    """
    _refuse_settings(n_folds, 1, 2, 1.0, 0.5, 0)  # the others are in range
    _outcome(clinical, endpoint, n_folds)


# --- testing them -----------------------------------------------------------------------------------------------------


def _permuted(number: int, problem: Problem, rules: Rules, seed: int, random_state: int) -> float:
    """Signed statistic of a run with the outcomes dealt out anew; 0 where there are no groups."""
    rng = np.random.default_rng([random_state, number, _PERMUTATION_STREAM])
    rows = rng.permutation(len(problem.time))
    dealt = problem._replace(time=problem.time[rows], event=problem.event[rows])
    return float(np.nan_to_num(_z(dealt, *grouped(crossed(seed, dealt, rules)))))


def _z(problem: Problem, rows: np.ndarray, high: np.ndarray, fold: np.ndarray) -> float:
    """Test of high against low with the folds as strata, above 0 if high has more events; NaN if nothing compares."""
    if not 0 < high.sum() < len(high):
        return np.nan
    part = problem.of(rows)
    if problem.competing:
        score, variance = stratified_gray_score(part, high, fold)
        return score / np.sqrt(variance) if variance > 0 else np.nan
    excess = 0.0  # of the high group: the log-rank test does not tell its direction
    for table in _risk_tables(part, high, fold):
        expected = table.events.sum(axis=1) @ (table.at_risk[:, 1] / table.at_risk.sum(axis=1))
        excess += table.events[:, 1].sum() - expected
    return float(np.copysign(np.sqrt(logrank_test(part.time, part.event, high, strata=fold).statistic), excess))


def stratified_gray_score(part: Problem, high: np.ndarray, stratum: np.ndarray) -> tuple[float, float]:
    """Gray's score, summed over strata, above 0 if the high group has more events than expected; and its variance."""
    score = variance = 0.0
    for one in np.unique(stratum):
        rows = stratum == one
        if 0 < high[rows].sum() < rows.sum():
            within = comprisk.gray_test(part.time[rows], part.event[rows], high[rows].astype(int), cause=RELAPSE)
            score -= float(within.score[0])  # that of the first group, which is the low one
            variance += float(within.var[0, 0])
    return score, variance


def _risk_tables(part: Problem, high: np.ndarray, fold: np.ndarray) -> Iterator[RiskTable]:
    """Events and patients at risk in each fold; columns low, high."""
    for one in np.unique(fold):
        rows = fold == one
        yield risk_table(part.time[rows], part.happened[rows], cause=1, group=high[rows].astype(int), groups=2)


def _hazard_ratio(problem: Problem, rows: np.ndarray, high: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    """Cause-specific hazard ratio of high against low, with its interval.

    While both groups are at risk, events may be in one of them only: then it is 0 or infinite, without an interval.
    """
    part = problem.of(rows)
    events = np.zeros(2)  # low, high
    for table in _risk_tables(part, high, fold):
        events += table.events[(table.at_risk > 0).all(axis=1)].sum(axis=0)
    if not events.all():
        extreme = np.inf if events[1] else 0.0 if events[0] else np.nan
        return {"hazard_ratio": extreme, "lower": np.nan, "upper": np.nan}
    covariate = pd.DataFrame({HIGH: high.astype(float)})
    fitted = cox(part.time, part.happened.astype(int), covariate, strata=fold)
    return {name: float(fitted.table[name].iloc[0]) for name in ("hazard_ratio", "lower", "upper")}


def _tests(problem: Problem, repeats: Sequence[Sequence[Fold]], circular: Learnt, null: np.ndarray) -> pd.DataFrame:
    """One row for each repeat, then the circular one."""
    found = [_test_row(problem, HELD_OUT, k, grouped(one), null[: 0 if k else None]) for k, one in enumerate(repeats)]
    everyone = np.arange(len(problem.time) if circular.selected.any() else 0)
    high = circular.risk(problem.x)[everyone] > circular.cut
    found.append(_test_row(problem, CIRCULAR, 0, (everyone, high, np.zeros(len(everyone), dtype=int)), null[:0]))
    return pd.DataFrame(found)


def _test_row(problem: Problem, name: str, repeat: int, groups: Groups, null: np.ndarray) -> dict[str, Any]:
    """High against low; `null` are z of permutations, none for the asymptotic p-value."""
    rows, high, _ = groups
    z = _z(problem, *groups)
    method = "permutation" if len(null) else "asymptotic"
    p_value, said = _judged(z, null, CIRCULAR if name == CIRCULAR else "again" if repeat else method)
    return {
        "name": name,
        "repeat": repeat,
        "test": "gray" if problem.competing else "logrank",
        "n": len(rows),
        "n_high": int(high.sum()),
        "events": int(problem.happened[rows].sum()),
        "statistic": z**2,
        "p_value": p_value,
        "method": method,
        "n_permutations": len(null),
        **_hazard_ratio(problem, *groups),
        "evidence": name == HELD_OUT and repeat == 0,
        "remark": said if len(rows) else _NOTHING,
    }


def _judged(z: float, null: np.ndarray, remark: str) -> tuple[float, str]:
    """One-sided p-value of z, the larger of the asymptotic one and that by permutations, and how to read it."""
    alone, known = float(norm.sf(z)), not np.isnan(z)
    dealt = (1 + int((null >= z).sum())) / (1 + len(null)) if known else 1.0
    if not known and remark in ("asymptotic", "permutation"):
        remark = "alike"
    return float(np.fmax(alone, dealt)) if len(null) else alone, _REMARKS[remark].format(alone=alone, dealt=dealt)


# --- tables -----------------------------------------------------------------------------------------------------------


def _factors(repeats: Sequence[Sequence[Fold]], names: Sequence[Any]) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "repeat": repeat,
                "fold": fold,
                "factor": names,
                "frequency": one.learnt.frequency,
                "selected": one.learnt.selected,
                "coefficient": np.where(one.learnt.selected, one.learnt.coefficient, np.nan),
            }
        )
        for repeat, folds in enumerate(repeats)
        for fold, one in enumerate(folds)
    ]
    return pd.concat(parts, ignore_index=True)


def _overall(factors: pd.DataFrame) -> pd.DataFrame:
    table = factors.groupby("factor", sort=True).agg(
        frequency=("frequency", "mean"),
        folds_selected=("selected", "sum"),
        folds=("selected", "size"),
        coefficient=("coefficient", "mean"),
    )
    return table.sort_values(["folds_selected", "frequency"], ascending=False, kind="stable").reset_index()


def _folds(problem: Problem, repeats: Sequence[Sequence[Fold]], rules: Rules) -> pd.DataFrame:
    happened = problem.happened
    bound = false_selections(rules.n_kept, problem.x.shape[1], rules.threshold)
    rows = [
        {
            "repeat": repeat,
            "fold": fold,
            "n_training": len(one.train),
            "events_training": int(happened[one.train].sum()),
            "n_held_out": len(one.held),
            "events_held_out": int(happened[one.held].sum()),
            "n_kept": rules.n_kept,
            "false_selections": bound,
            "n_selected": int(one.learnt.selected.sum()),
            "cut": one.learnt.cut,
        }
        for repeat, folds in enumerate(repeats)
        for fold, one in enumerate(folds)
    ]
    return pd.DataFrame(rows)


def _patients(repeats: Sequence[Sequence[Fold]], samples: pd.Index) -> pd.DataFrame:
    parts = []
    for repeat, folds in enumerate(repeats):
        for fold, one in enumerate(folds):
            group = np.where(np.isnan(one.risk), NONE, np.where(one.risk > one.learnt.cut, HIGH, LOW)).astype(object)
            of_fold = {"sample": samples[one.held], "repeat": repeat, "fold": fold, "risk": one.risk, "group": group}
            parts.append(pd.DataFrame(of_fold))
    return pd.concat(parts).sort_values(["repeat", "sample"], kind="stable", ignore_index=True)


def _verdict(tests: pd.DataFrame, factors: pd.DataFrame, meaning: str) -> str:
    """What the held-out patients of the first repeat say."""
    test, n_folds = tests.iloc[0], factors["fold"].nunique()
    found = factors[factors["selected"]]
    if found.empty:
        return f"Supervised by outcome ({meaning}): no factor was stable in any of {n_folds} folds: no groups."
    counts = found["factor"].value_counts(sort=False).sort_values(ascending=False, kind="stable")
    named = ", ".join(f"{name} ({count} of {n_folds} folds)" for name, count in counts.items())
    by = f"{test['n_permutations']} permutations" if test["n_permutations"] else "asymptotic, too small"
    ratio = f"hazard ratio {test['hazard_ratio']:.2g}"
    if np.isfinite(test["upper"]):
        ratio += f", {test['lower']:.2g} to {test['upper']:.2g}"
    if test["hazard_ratio"] < 1:
        ratio += ", opposite to the prediction"
    return (
        f"Supervised by outcome ({meaning}): {named}; of {test['n']} held-out patients {_said(test)} "
        f"({ratio}; one-sided p = {test['p_value']:.2g}, {by})."
    )


def _said(test: pd.Series) -> str:
    """Whether the high group has more events: nothing else was predicted and tested."""
    group = f"the {test['n_high']} in the high group"
    if np.isnan(test["statistic"]):
        return f"{group} cannot be compared with the others"
    if test["p_value"] <= LEVEL:
        return f"{group} have more of it than the others"
    return f"no difference was shown between {group} and the others"


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refuse_settings(
    n_folds: int, n_repeats: int, n_halves: int, threshold: float, high: float, n_permutations: int
) -> None:
    wrong = {
        f"n_folds is {n_folds}": n_folds < 2,
        f"n_repeats is {n_repeats}": n_repeats < 1,
        f"n_halves is {n_halves}": n_halves < 2 or n_halves % 2 == 1,
        f"threshold is {threshold}": not 0.5 < threshold <= 1,
        f"high is {high}": not 0 < high < 1,
        f"n_permutations is {n_permutations}": n_permutations < 0,
    }
    if any(wrong.values()):
        raise UsageError(
            next(what for what, is_wrong in wrong.items() if is_wrong),
            fix="give two folds, one repeat, an even number of halves, a threshold in (0.5, 1], a share in (0, 1)",
        )


def _checked_scores(scores: pd.DataFrame, clinical: pd.DataFrame) -> pd.DataFrame:
    """Scores in sorted order, if they are complete and each row is a patient of the clinical table."""
    refuse_duplicates(scores.index, "sample", "scores")
    refuse_duplicates(scores.columns, "factor", "scores")
    if scores.empty:
        raise DataError(f"scores have shape {scores.shape}", where="scores", fix="give a factor and patients")
    foreign = scores.index[~scores.index.isin(clinical.index)]
    if len(foreign):
        raise DataError(
            f"{len(foreign)} of {len(scores)} samples have no clinical row, for example {foreign[0]}",
            where="scores",
            fix="give scores of the patients of the clinical table",
        )
    if not np.isfinite(scores.to_numpy(float)).all():
        raise DataError("a score is missing or infinite", where="scores", fix="leave that patient out")
    return scores.sort_index().sort_index(axis=1)


def _outcome(clinical: pd.DataFrame, endpoint: str, n_folds: int) -> tuple[pd.Index, Problem]:
    """Samples and, scores aside, the problem, if events suffice and each row is a patient followed from time zero."""
    refuse_duplicates(clinical.index, "sample", "clinical")
    if group_of(clinical, clinical.index, None) is not None:
        raise DataError(
            "a patient has several samples",
            where="clinical table",
            fix="give one sample of each patient, or leave the relapse groups out",
        )
    outcome = endpoint_table(clinical, endpoint)
    late = outcome.index[outcome["entry"] > 0]
    if len(late):
        raise DataError(
            f"{len(late)} patients came under observation late, for example {late[0]}",
            where="clinical column 'entry_time'",
            fix="leave them, or the relapse groups, out: neither the lasso nor Gray's test knows of late entry",
        )
    none = np.empty((len(outcome), 0))
    problem = Problem(none, outcome["time"].to_numpy(), outcome["event"].to_numpy(), ENDPOINTS[endpoint].competing)
    _refuse_few(problem, n_folds)
    return outcome.index, problem


def _refuse_constant(scores: pd.DataFrame) -> None:
    constant = scores.columns[(scores.nunique() < 2).to_numpy()]
    if len(constant):
        raise DataError(f"factor {constant[0]} is constant", where="scores", fix="leave the factor out")


def _refuse_few(problem: Problem, n_folds: int) -> None:
    events = int(problem.happened.sum())
    needed = max(EVENTS_AT_LEAST, EVENTS_IN_A_FOLD * n_folds)
    if events < needed:
        hopeless = f"leave the relapse groups out: with fewer than {EVENTS_AT_LEAST} events no folds are few enough"
        raise DataError(
            f"too few events: {events} among {len(problem.time)} patients, and {n_folds} folds need {needed}",
            where="clinical table",
            fix=hopeless if events < EVENTS_AT_LEAST else "use fewer folds, or leave the relapse groups out",
        )
