"""Relapse prediction that does not leak: the classifier over sample ids, nested evaluation, frozen bundles."""

from omics.predict.bundle import Bundle, load, predict, train
from omics.predict.classifier import RelapseClassifier
from omics.predict.models import MODELS, Model
from omics.predict.nested import evaluate

__all__ = ["MODELS", "Bundle", "Model", "RelapseClassifier", "evaluate", "load", "predict", "train"]
