"""Bounding planes: exact offsets per nonlinearity, and named rules for the slopes."""
