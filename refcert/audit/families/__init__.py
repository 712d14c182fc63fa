"""Boxes and planes drawn at random, by families of difficulty: what every method of the audit has to cope with."""
