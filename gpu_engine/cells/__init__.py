"""Cells and whole networks as steps: one file a cell, a table of them, and the unrolling."""
