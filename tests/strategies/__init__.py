"""Tests of the public Hypothesis strategies."""
