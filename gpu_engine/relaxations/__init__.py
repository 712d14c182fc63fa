"""Relaxations: bounding planes and lines with exact offsets, and named ways to choose their slopes."""
