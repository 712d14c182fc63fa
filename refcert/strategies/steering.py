"""Steering Hypothesis towards violations: the smaller a margin, the more interesting the example."""

from __future__ import annotations

import math
import sys

from hypothesis import currently_in_test_context, target
from hypothesis.errors import InvalidArgument


def steer(margin: float, label: str = "margin") -> float:
    """Tell Hypothesis that examples with a smaller margin come closer to a violation; returns the margin.

    margin: what an assertion needs to be positive, in one unit for one label. NaN says nothing, infinities count as the
    largest floats. A label that the example has used already gets a number. Outside of a Hypothesis test nothing
    happens, so that assertions can call this wherever they run.
    """
    if math.isnan(margin) or not currently_in_test_context():
        return margin
    largest = sys.float_info.max
    observation = -min(max(float(margin), -largest), largest)
    for again in range(1, _MOST):
        try:
            target(observation, label=label if again == 1 else f"{label} ({again})")
        except InvalidArgument:
            continue  # this example has a target of that name
        break
    return margin


_MOST = 20
