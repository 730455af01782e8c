"""Backbones and the dual branch, built from layers that are cheap to differentiate twice."""
