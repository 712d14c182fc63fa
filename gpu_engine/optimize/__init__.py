"""Slopes of bounding planes trained for the bound of the network."""
