"""Who is held out when."""

import numpy as np
import pandas as pd
import pytest

from omics.predict.splits import Scheme, plan
from omics.schema import DataError, UsageError

N = 60


@pytest.fixture
def stratum() -> pd.Series:
    rng = np.random.default_rng(1)
    return pd.Series(rng.choice([0, 0, 1, 2], N), index=[f"P{i:02d}" for i in range(N)])


@pytest.fixture
def clinical(stratum) -> pd.DataFrame:
    return pd.DataFrame(
        {"site": [f"S{i % 7}" for i in range(N)], "patient": [f"Q{i // 2}" for i in range(N)]}, index=stratum.index
    )


def held_out(folds, repeat=0):
    return [set(part.held_out) for part in folds if part.repeat == repeat]


def assert_partition(folds, samples):
    for part in folds:
        assert not set(part.train) & set(part.held_out)
        assert set(part.train) | set(part.held_out) == set(samples)
        for train, held in part.inner:
            assert not set(train) & set(held)
            assert set(train) | set(held) == set(part.train)  # no outer held-out patient has a part in a choice
    counts = pd.Series([sample for part in folds for sample in part.held_out]).value_counts()
    assert set(counts.index) == set(samples)
    assert counts.nunique() == 1


def test_folds_hold_out_everybody_once_a_repeat_and_balance_the_outcome(stratum, clinical):
    folds = plan(stratum, clinical[["site"]], Scheme(n_folds=5, n_repeats=3), 7)
    assert len(folds) == 15
    assert_partition(folds, stratum.index)
    assert held_out(folds, 0) != held_out(folds, 1)
    events = [int((stratum[part.held_out] == 1).sum()) for part in folds]
    assert max(events) - min(events) <= 1


def test_samples_of_one_patient_stay_together(stratum, clinical):
    folds = plan(stratum, clinical[["patient"]], Scheme(n_folds=4), 7)
    assert_partition(folds, stratum.index)
    for part in folds:
        for train, held in [(part.train, part.held_out), *part.inner]:
            assert not set(clinical.loc[train, "patient"]) & set(clinical.loc[held, "patient"])


def test_sites_stay_together_and_can_be_left_out_one_at_a_time(stratum, clinical):
    sites = clinical[["site"]]
    for part in plan(stratum, sites, Scheme(n_folds=3, group_by="site"), 7):
        assert not set(sites.loc[part.train, "site"]) & set(sites.loc[part.held_out, "site"])
    folds = plan(stratum, sites, Scheme(leave_out="site"), 7)
    assert [part.name for part in folds] == [f"S{i}" for i in range(7)]
    assert all(set(sites.loc[part.held_out, "site"]) == {part.name} for part in folds)
    assert_partition(folds, stratum.index)


def test_a_split_file_is_obeyed(stratum, clinical, tmp_path):
    fold = pd.Series(np.arange(N) % 3, index=stratum.index)
    table = pd.DataFrame({"sample": stratum.index, "fold": [f"part {k}" for k in fold]})
    table.to_csv(tmp_path / "s.tsv", sep="\t", index=False)
    folds = plan(stratum, clinical[["site"]], Scheme(file=tmp_path / "s.tsv"), 7)
    assert [part.name for part in folds] == ["part 0", "part 1", "part 2"]
    assert held_out(folds) == [set(fold.index[fold == k]) for k in range(3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="fold"), "columns are"),
        (lambda t: t.assign(sample="X1"), "not to be evaluated, for example X1"),
        (lambda t: pd.concat([t, t.head(1)]), "P00 is twice"),
        (lambda t: t.assign(fold=1), "has one fold"),
        (lambda t: t.assign(fold=[None, *t["fold"][1:]]), "a value is missing"),
        (lambda t: t.assign(fold=np.arange(N) % 2), r"Q\d+ is divided"),
    ],
)
def test_a_split_file_that_does_not_fit_is_refused(stratum, clinical, tmp_path, change, message):
    table = pd.DataFrame({"sample": stratum.index, "fold": np.arange(N) // 2 % 2})
    change(table).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(DataError, match=message):
        plan(stratum, clinical[["patient"]], Scheme(file=tmp_path / "s.csv"), 7)


@pytest.mark.parametrize(
    ("scheme", "error", "message"),
    [
        (Scheme(leave_out="site", n_repeats=2), UsageError, "nothing to repeat"),
        (Scheme(leave_out="site", group_by="site"), UsageError, "several ways"),
        (Scheme(group_by="ward"), UsageError, "no clinical column 'ward'"),
        (Scheme(group_by="site", n_folds=8), DataError, "7 groups cannot fill 8 folds"),
        (Scheme(n_folds=50), DataError, "cannot fill 50 folds"),
    ],
)
def test_schemes_that_cannot_be_are_refused(stratum, clinical, scheme, error, message):
    with pytest.raises(error, match=message):
        plan(stratum, clinical[["site"]], scheme, 7)


def test_a_patient_in_two_sites_is_refused(stratum, clinical):
    clinical.loc["P00", "patient"] = "Q9"
    with pytest.raises(DataError, match="of several groups"):
        plan(stratum, clinical, Scheme(group_by="site"), 7)
    with pytest.raises(DataError, match="samples have none, for example P03"):
        plan(stratum, clinical[["site"]].drop(index="P03"), Scheme(group_by="site"), 7)
