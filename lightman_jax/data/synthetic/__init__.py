"""Simulated data: action-unit fields, invented faces, the corpus `simulated_au`, and stand-ins of every corpus."""
