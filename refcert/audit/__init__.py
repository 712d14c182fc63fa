"""Looks for faults in bounding planes, whoever made them. Planes come in as plain arrays; no engine is imported."""
