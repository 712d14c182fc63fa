"""Interval arithmetic, back-substitution, concretization, and the order of work."""
