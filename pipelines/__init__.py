"""Compose the rooms of :mod:`omics` into commands, graphs of artefacts, and runs on clusters."""
