"""Losses of both branches: `classification` and `alignment`, one value per clip, with masks for padding."""
