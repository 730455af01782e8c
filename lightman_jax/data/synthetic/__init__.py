"""Simulated data: action-unit fields, synthetic faces, the corpus `simulated_au`, and stand-ins of every corpus."""
