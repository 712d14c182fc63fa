"""Certified radii and attacks side by side: never a certified radius that reaches a found attack."""
