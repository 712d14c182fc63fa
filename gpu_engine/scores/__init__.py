"""Scores: estimates of robustness without any guarantee."""
