"""Robustness metrics of a model: as estimates from one algorithm's radii, and as intervals between two."""
