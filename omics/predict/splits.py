"""Who is held out when: repeated folds, folds of whole groups, one group at a time, or a file of the user's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from omics.schema import DataError, UsageError

Split = tuple[np.ndarray, np.ndarray]

#: Stratum of a patient: no event, event, unknown.
UNKNOWN = 2
#: Column that says which rows are of one patient, where samples are not patients.
PATIENT = "patient"


class Scheme(NamedTuple):
    """How patients are held out.

    Attributes
    ----------
    n_folds, n_inner, n_repeats : int
        Outer folds, inner folds, repeats with other splits.
    group_by : str or None
        Clinical column (a site, for example) whose values stay together on one side of every split.
    leave_out : str or None
        Clinical column each of whose values is held out once; then there are as many outer folds as values.
    file : path or None
        Table with columns ``sample``, ``fold``, and perhaps ``repeat``: in which fold each sample is held out.
    """

    n_folds: int = 5
    n_inner: int = 3
    n_repeats: int = 1
    group_by: str | None = None
    leave_out: str | None = None
    file: str | os.PathLike[str] | None = None


class OuterFold(NamedTuple):
    """One held-out part of one repeat, and the inner splits of its training rows.

    Attributes
    ----------
    repeat, fold : int
        Numbers from 0.
    name : str
        The group that is held out, or the number of the fold.
    train, held_out : ndarray of str
        Sample ids.
    inner : list of (train ids, held-out ids)
        Splits of `train` that choose settings.
    seed : int
        Seed of the models.
    """

    repeat: int
    fold: int
    name: str
    train: np.ndarray
    held_out: np.ndarray
    inner: list[Split]
    seed: int


def plan(stratum: pd.Series, clinical: pd.DataFrame, scheme: Scheme, random_state: int) -> list[OuterFold]:
    """All outer folds, each with its inner splits.

    Parameters
    ----------
    stratum : Series of int
        0 no event, 1 event, 2 unknown, by sample: what folds are balanced for.
    clinical : DataFrame
        Clinical table with a row for every sample.
    scheme : Scheme
        How patients are held out.
    random_state : int
        Seed of the splits and of the models.

    Raises
    ------
    UsageError
        Settings that exclude each other, or a column that is not there.
    DataError
        Too few patients with one outcome, a sample without a group, or a split file that does not fit.
    """
    _refuse_contradictions(scheme)
    group = group_of(clinical, stratum.index, scheme.leave_out or scheme.group_by)
    if scheme.file is not None:
        outer = _of_file(scheme.file, stratum, group)
    elif scheme.leave_out:
        outer = _one_group_at_a_time(stratum, clinical[scheme.leave_out])
    else:
        seeds = np.random.SeedSequence(random_state).generate_state(scheme.n_repeats)
        outer = [
            (repeat, fold, str(fold), *split)
            for repeat, seed in enumerate(seeds)
            for fold, split in enumerate(stratified_folds(stratum, scheme.n_folds, int(seed), group))
        ]
    return [
        OuterFold(repeat, fold, name, train, held, _inner(stratum, train, scheme, random_state, group), random_state)
        for repeat, fold, name, train, held in outer
    ]


def stratified_folds(
    stratum: pd.Series, n_folds: int, random_state: int, group: pd.Series | None = None
) -> list[Split]:
    """Training and held-out ids of each fold, balanced for the outcome; a group is never divided.

    Patients of unknown outcome are dealt out with the event-free: they train the integration, but no classifier.

    Raises
    ------
    DataError
        There are fewer events, fewer patients without, or fewer groups than folds.
    """
    counts = {label: int((stratum == label).sum()) for label in (0, 1)}
    if min(counts.values()) < n_folds:
        raise DataError(
            f"{counts[1]} events and {counts[0]} patients without cannot fill {n_folds} folds",
            fix="use fewer folds, another horizon, or a cohort with both outcomes",
        )
    samples, label = stratum.index.to_numpy(), np.where(stratum == 1, 1, 0)
    if group is None:
        parts = StratifiedKFold(n_folds, shuffle=True, random_state=random_state).split(samples, label)
        return [(samples[train], samples[held]) for train, held in parts]
    of_sample = group.loc[samples].to_numpy()
    if len(np.unique(of_sample)) < n_folds:
        raise DataError(
            f"{len(np.unique(of_sample))} groups cannot fill {n_folds} folds",
            where=f"clinical column '{group.name}'",
            fix="use fewer folds, or --leave-out with this column",
        )
    parts = StratifiedGroupKFold(n_folds, shuffle=True, random_state=random_state).split(samples, label, of_sample)
    return [(samples[train], samples[held]) for train, held in parts]


def inner_splits(stratum: pd.Series, n_inner: int, random_state: int, group: pd.Series | None = None) -> list[Split]:
    """Splits of training rows on which settings are chosen: as many as the rarer outcome allows, at most `n_inner`.

    With too few groups for that, rows are split without regard to them: that is a matter of choosing settings, and
    the outer fold that is reported stays clean.
    """
    rarer = min(int((stratum == label).sum()) for label in (0, 1))
    n_folds = max(2, min(n_inner, rarer))
    if group is not None and group.loc[stratum.index].nunique() < n_folds:
        group = None
    return stratified_folds(stratum, n_folds, random_state, group)


def group_of(
    clinical: pd.DataFrame, samples: Sequence[str] | pd.Index | np.ndarray, column: str | None
) -> pd.Series | None:
    """Group of each sample that no split may divide: that of `column`, else the patient if samples are not patients.

    Raises
    ------
    UsageError
        The column is not there.
    DataError
        A sample has no group, or samples of one patient are of several groups.
    """
    rows = clinical.reindex(pd.Index(samples))
    patient = rows[PATIENT] if PATIENT in rows and rows[PATIENT].notna().all() else None
    if column is None:
        return patient if patient is not None and patient.duplicated().any() else None
    if column not in rows:
        raise UsageError(f"no clinical column '{column}'", fix=f"there are {', '.join(map(str, clinical.columns))}")
    lacking = rows.index[rows[column].isna()]
    if len(lacking):
        raise DataError(
            f"{len(lacking)} samples have none, for example {lacking[0]}",
            where=f"clinical column '{column}'",
            fix="complete the column, or group by another",
        )
    group = rows[column].astype(str)
    if patient is not None:
        divided = group.groupby(patient).nunique()
        if (divided > 1).any():
            raise DataError(
                f"samples of patient {divided.index[divided > 1][0]} are of several groups",
                where=f"clinical column '{column}'",
                fix="a patient's samples must stay together",
            )
    return group


def _refuse_contradictions(scheme: Scheme) -> None:
    given = [name for name in ("group_by", "leave_out") if getattr(scheme, name)]
    if scheme.leave_out and scheme.n_repeats > 1:
        raise UsageError("groups held out one at a time leave nothing to repeat", fix="use one repeat")
    if scheme.leave_out and (scheme.file is not None or len(given) > 1):
        raise UsageError("several ways to hold out patients were given", fix="choose one of group_by, leave_out, file")


def _inner(
    stratum: pd.Series, train: np.ndarray, scheme: Scheme, random_state: int, group: pd.Series | None
) -> list[Split]:
    return inner_splits(stratum[train], scheme.n_inner, random_state, group)


_Outer = tuple[int, int, str, np.ndarray, np.ndarray]


def _one_group_at_a_time(stratum: pd.Series, column: pd.Series) -> list[_Outer]:
    of_sample = column.reindex(stratum.index).astype(str)
    names = sorted(of_sample.unique())
    if len(names) < 2:
        raise DataError(
            f"there is only the group {names[0]}", where=f"clinical column '{column.name}'", fix="use folds instead"
        )
    samples = stratum.index.to_numpy()
    return [
        (0, fold, name, samples[(of_sample != name).to_numpy()], samples[(of_sample == name).to_numpy()])
        for fold, name in enumerate(names)
    ]


def _of_file(file: str | os.PathLike[str], stratum: pd.Series, group: pd.Series | None) -> list[_Outer]:
    table = _read(file, stratum.index)
    outer = []
    for repeat, (_, rows) in enumerate(table.groupby("repeat", sort=True)):
        named = rows["sample"].to_numpy(dtype=object)
        named = stratum.index[stratum.index.isin(named)].to_numpy()
        fold_of = rows.set_index("sample")["fold"].loc[named]
        _refuse_divided(fold_of, group, file)
        for fold, name in enumerate(sorted(fold_of.unique())):
            held = (fold_of == name).to_numpy()
            outer.append((repeat, fold, str(name), named[~held], named[held]))
    for repeat, _, name, train, _ in outer:
        present = set(stratum[train]) - {UNKNOWN}
        if len(present) < 2:
            raise DataError(
                f"without fold {name} of repeat {repeat}, patients with both outcomes are not left to train on",
                where=str(file),
                fix="give every fold a share of both outcomes",
            )
    return outer


def _read(file: str | os.PathLike[str], samples: pd.Index) -> pd.DataFrame:
    """The split file, checked: known samples, each in one fold of a repeat."""
    try:
        table = pd.read_csv(file, sep=None, engine="python", dtype=str)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(file), fix="give a TSV or CSV") from error
    if not {"sample", "fold"} <= set(table.columns):
        raise DataError(f"columns are {list(table.columns)}", where=str(file), fix="expected sample, fold [, repeat]")
    table = table.assign(repeat=table.get("repeat", "0"))[["sample", "fold", "repeat"]]
    if table.isna().any(axis=None):
        raise DataError("a value is missing", where=str(file), fix="give a fold for every sample named")
    unknown = table.loc[~table["sample"].isin(samples), "sample"].unique()
    if len(unknown):
        raise DataError(
            f"{len(unknown)} samples are not to be evaluated, for example {unknown[0]}",
            where=str(file),
            fix="name samples of the cohort that have a layer and a clinical row",
        )
    twice = table.loc[table.duplicated(["sample", "repeat"]), "sample"]
    if len(twice):
        raise DataError(f"sample {twice.iloc[0]} is twice in a repeat", where=str(file), fix="hold it out once")
    alone = table.groupby("repeat")["fold"].nunique()
    if (alone < 2).any():
        raise DataError(f"repeat {alone.index[alone < 2][0]} has one fold", where=str(file), fix="two at least")
    return table


def _refuse_divided(fold_of: pd.Series, group: pd.Series | None, file: str | os.PathLike[str]) -> None:
    if group is None:
        return
    folds = fold_of.groupby(group.loc[fold_of.index]).nunique()
    if (folds > 1).any():
        raise DataError(
            f"{group.name} {folds.index[folds > 1][0]} is divided between folds",
            where=str(file),
            fix="hold its samples out together",
        )
