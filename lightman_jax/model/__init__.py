"""Trained networks as ensembles, checkpoints and exported files, and the default model."""

from pathlib import Path

DEFAULT_MODEL = Path(__file__).parent / "default" / "default.lightman"
"""File of the networks that are part of the package; see its README."""
