"""Trained networks as ensembles, checkpoints and exported files."""
