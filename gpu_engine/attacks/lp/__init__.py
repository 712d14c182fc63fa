"""LP search: the nearest adversarial input inside one linear region of a piecewise-linear network."""
