"""What the hunts for a violating point share: the excess over a plane, the box, local improvement."""
