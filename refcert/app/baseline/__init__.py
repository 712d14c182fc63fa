"""Regression baselines: what a model's bounds are on a data set, in a text file that is committed and compared."""
