"""Attacks: inputs of the set that break the specification, the upper side of every certified radius."""
