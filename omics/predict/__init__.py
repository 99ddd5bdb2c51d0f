"""Prediction that does not leak: the classifier over sample ids, nested evaluation, frozen bundles."""

from omics.predict.audit import failures
from omics.predict.bundle import Bundle, load, predict, train
from omics.predict.classes import evaluate_classes
from omics.predict.classifier import OutcomeClassifier
from omics.predict.evaluation import evaluate
from omics.predict.learning import Question
from omics.predict.models import MODELS, Model
from omics.predict.relapse_groups import RelapseGroups, relapse_groups, relapse_groups_need
from omics.predict.representations import REPRESENTATIONS, Chosen, Representation, Training
from omics.predict.sample_size import minimum_sample_size
from omics.predict.splits import Scheme

__all__ = [
    "MODELS",
    "REPRESENTATIONS",
    "Bundle",
    "Chosen",
    "Model",
    "OutcomeClassifier",
    "Question",
    "RelapseGroups",
    "Representation",
    "Scheme",
    "Training",
    "evaluate",
    "evaluate_classes",
    "failures",
    "load",
    "minimum_sample_size",
    "predict",
    "relapse_groups",
    "relapse_groups_need",
    "train",
]
