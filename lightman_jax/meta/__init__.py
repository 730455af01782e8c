"""Bi-level meta-learning: inner loop, outer update, methods, label generator and adaptation."""
