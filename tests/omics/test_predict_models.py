"""Models of classes and of times: known truth, an independent reference, and a round trip without pickle."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from omics.outcome import cumulative_incidence
from omics.predict import MODELS, Question, minimum_sample_size
from omics.predict.frozen import foreign_types, from_bytes, to_bytes
from omics.predict.hazards import CauseHazards, SubdistributionHazard
from omics.predict.learning import Learner, _repeats, target_of
from omics.predict.models import model_named
from omics.schema import DataError, IntegrityError, UsageError

users_own = KNeighborsClassifier(n_neighbors=60)


def competing(n: int, seed: int, effect: float = 1.0):
    """Predictors, times and codes of two causes: the first predictor drives cause 1, the second cause 2."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    first = rng.exponential(1 / (0.08 * np.exp(effect * X[:, 0])))
    second = rng.exponential(1 / (0.05 * np.exp(effect * X[:, 1])))
    censored = rng.uniform(2, 12, n)
    time = np.minimum(np.minimum(first, second), censored)
    event = np.where(time == first, 1, np.where(time == second, 2, 0))
    return X, time, event


def true_risk(X: np.ndarray, horizon: float, effect: float = 1.0) -> np.ndarray:
    one, two = 0.08 * np.exp(effect * X[:, 0]), 0.05 * np.exp(effect * X[:, 1])
    return one / (one + two) * (1 - np.exp(-(one + two) * horizon))


@pytest.mark.parametrize("settings", [{"base": "coxnet", "penalty": 0.01}, {"base": "survival_forest"}])
def test_cause_hazards_give_the_true_risk(settings):
    X, time, event = competing(600, 1)
    model = CauseHazards(horizon=5.0, random_state=0, **settings).fit(X, np.column_stack([time, event]))
    new = competing(1000, 2)[0]
    risk, truth = model.predict_proba(new)[:, 1], true_risk(new, 5.0)
    assert np.corrcoef(risk, truth)[0, 1] > (0.98 if settings["base"] == "coxnet" else 0.8)
    assert abs(risk.mean() - truth.mean()) < 0.03
    assert ((risk >= 0) & (risk <= 1)).all()


def test_without_a_predictor_the_risk_is_the_cumulative_incidence():
    _, time, event = competing(400, 3)
    model = CauseHazards(horizon=4.0, penalty=1e3).fit(np.zeros((400, 1)), np.column_stack([time, event]))
    curve = cumulative_incidence(time, event)
    expected = curve.loc[curve["time"] <= 4.0, "estimate"].iloc[-1]
    assert model.predict_proba(np.zeros((1, 1)))[0, 1] == pytest.approx(expected, rel=1e-10)


def test_without_competition_and_penalty_it_is_cox_regression():
    X, time, event = competing(300, 4)
    event = (event == 1).astype(int)
    ours = CauseHazards(horizon=5.0, penalty=1e-7, l1_ratio=0.1).fit(X, np.column_stack([time, event]))
    theirs = CoxPHSurvivalAnalysis(ties="breslow").fit(X, Surv.from_arrays(event == 1, time))
    survival = [curve(5.0) for curve in theirs.predict_survival_function(X)]
    # ours multiplies 1 - dH where theirs takes exp(-H): the difference is of the order of one step of the hazard
    np.testing.assert_allclose(1 - ours.predict_proba(X)[:, 1], survival, atol=0.01)


def test_fine_gray_gives_the_true_risk_from_the_right_predictors():
    X, time, event = competing(2000, 7, effect=1.5)
    X = np.column_stack([X, np.random.default_rng(0).normal(size=(2000, 20))])
    model = SubdistributionHazard(horizon=5.0, n_predictors=2).fit(X, np.column_stack([time, event]))
    assert model.chosen_.tolist() == [0, 1]  # the second drives the other cause, so lowers the incidence of the first
    risk, truth = model.predict_proba(X)[:, 1], true_risk(X, 5.0, effect=1.5)
    assert np.corrcoef(risk, truth)[0, 1] > 0.95
    assert abs(risk.mean() - truth.mean()) < 0.03
    few = SubdistributionHazard(horizon=5.0, n_predictors=8).fit(X[:40], np.column_stack([time, event])[:40])
    assert len(few.chosen_) == max(int((event[:40] == 1).sum()) // 5, 1)


def clinical_of(time, event, X) -> pd.DataFrame:
    index = [f"P{i:03d}" for i in range(len(time))]
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    return pd.DataFrame({"event": event.astype(float), "event_time": time, **columns}, index=index)


@pytest.mark.parametrize("name", [*MODELS, f"{__name__}:users_own"])
def test_every_model_learns_weighs_and_survives_freezing(name):
    X, time, event = competing(250, 5, effect=1.5)
    clinical = clinical_of(time, event, X)
    question = Question(horizon=5.0)
    outcome = pd.Series(target_of(clinical, clinical.index, question).outcome, index=clinical.index)
    learner = Learner(name, question, outcome, clinical, ["x0", "x1", "x2", "x3"], 0)
    table = learner.table(None, clinical.index)
    half = clinical.index[:125]
    settings, loss = learner.choose([(half, clinical.index[125:]), (clinical.index[125:], half)], [None, None])
    pipeline = learner.fit(table, settings)
    new = competing(600, 6, effect=1.5)[0]
    fresh = pd.DataFrame(new, columns=["x0", "x1", "x2", "x3"])
    assert np.corrcoef(pipeline.predict_proba(fresh)[:, 1], true_risk(new, 5.0, 1.5))[0, 1] > 0.75
    constant = np.average(outcome, weights=target_of(clinical, clinical.index, question).weight)
    assert loss < -sum(  # better than to give everybody the same risk
        w * np.log(constant if y else 1 - constant)
        for y, w in zip(outcome, target_of(clinical, clinical.index, question).weight, strict=True)
    )
    stored = to_bytes(pipeline)
    if name in MODELS:
        assert stored == to_bytes(learner.fit(table, settings))
        assert foreign_types(stored) == []
        back = from_bytes(stored, where="here")
        assert back.predict_proba(fresh).tobytes() == pipeline.predict_proba(fresh).tobytes()


def test_a_foreign_type_is_refused():
    class Foreign(KNeighborsClassifier):
        pass

    stored = to_bytes(Foreign().fit(np.zeros((6, 1)), [0, 1] * 3))
    with pytest.raises(IntegrityError, match="not ours"):
        from_bytes(stored, where="here")


def test_names_that_lead_nowhere_are_refused():
    with pytest.raises(UsageError, match="choose from"):
        model_named("svm")
    with pytest.raises(UsageError, match="cannot be imported"):
        model_named("nowhere.at_all:model")
    with pytest.raises(UsageError, match="predict_proba"):
        model_named("omics.predict.hazards:GRIDS")


def test_models_of_time_are_refused_for_a_class_without_times():
    clinical = pd.DataFrame({"refractory": [0.0, 1.0] * 10, "x": range(20)}, index=[f"P{i}" for i in range(20)])
    outcome = clinical["refractory"].astype(int)
    learner = Learner("coxnet", Question("refractory"), outcome, clinical, ["x"], 0)
    with pytest.raises(DataError, match="needs times"):
        learner.fit(learner.table(None, clinical.index), {})


def test_repeats_stand_for_weights():
    weight = np.array([1.0, 1.0, 1.5, 2.0])
    assert _repeats(weight).tolist() == [4, 4, 6, 8]
    assert _repeats(np.array([1.0, 400.0])).tolist() == [1, 20]


@pytest.mark.parametrize(
    ("parameters", "risk", "r2", "needed"),
    [
        (30, 0.05, 0.05, 5249),  # Riley et al. BMJ 2020;368:m441, the pre-eclampsia example
        (24, 0.174, 0.288, 662),  # help of R's pmsampsize, binary outcome
    ],
)
def test_minimum_sample_size_as_published(parameters, risk, r2, needed):
    assert minimum_sample_size(parameters, risk, r2) == needed


def test_sample_size_grows_with_parameters_and_refuses_nonsense():
    assert minimum_sample_size(20, 0.15) > minimum_sample_size(10, 0.15) > 0
    for wrong in [(0, 0.1, None), (5, 1.0, None), (5, 0.1, 0.9)]:
        with pytest.raises(UsageError):
            minimum_sample_size(*wrong)
