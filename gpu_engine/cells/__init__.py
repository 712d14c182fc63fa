"""Recurrent cells for back-substitution; one file a cell."""
