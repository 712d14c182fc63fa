"""Small networks with planes for the tests of the network's linear program."""

from __future__ import annotations

import numpy as np

from refcert.audit.network_lp.system import system_of
from refcert.reference.equations import Nonlinear, evaluate, evaluate_kind
from refcert.reference.exact_planes import Plane, PlanePair
from refcert.reference.given_planes import Given
from refcert.reference.input_sets import FrameBalls
from refcert.reference.intervals import POINT_ZERO, Interval
from refcert.reference.networks import Dense, Network, Recurrent
from refcert.reference.unrolling import unroll
from tests.reference.drawn import points_of

STEP = 1e-4

# a point that no variable's box holds or lies in; at zero, a fixed input's ReLU would
NOWHERE = Interval(1e30, 1e30)


def slopes_only(program, x, rng, spread=0.2):
    """Planes near the tangents at one input; no box holds another one, so offsets are taken on the boxes derived."""
    values, planes = evaluate(program, x), {}
    for equation in program.equations:
        if isinstance(equation, Nonlinear):
            v, z = values[equation.v], 0.0 if equation.z is None else values[equation.z]

            def f(a, b, kind=equation.kind):
                return evaluate_kind(kind, a, b)

            tangent = np.array([f(v + STEP, z) - f(v - STEP, z), f(v, z + STEP) - f(v, z - STEP)]) / (2 * STEP)
            lower, upper = (tangent + spread * rng.normal(size=2) for _ in range(2))
            pair = PlanePair(
                Plane(float(lower[0]), float(lower[1]), 1e6), Plane(float(upper[0]), float(upper[1]), -1e6)
            )
            planes[equation.variable] = Given(equation.kind, NOWHERE, POINT_ZERO, pair)
    return planes


def system_for(network, region):
    return system_of(unroll(network, *region.shape, "tree"))


def middle(region):
    return points_of(region, np.random.default_rng(0), 1)[0]


def chained_relus():
    """u = relu(x) on [-1, 1], then relu(u - 1/4) and relu(u + 5); the row reads the second one."""
    zero = np.zeros(2)
    cell = Recurrent("rnn_relu", np.ones((2, 1)), np.zeros((2, 2)), np.array([-0.25, 5.0]), zero)
    first = Dense(np.ones((1, 1)), np.zeros(1))
    network = Network(((cell,),), (Dense(np.eye(2), zero),), (first, "relu"))
    program = system_for(network, FrameBalls(np.zeros((1, 1)), np.ones(1))).program
    slopes = {("before.1", 0): (1.0, 0.5), ("layers.0.0", 0): (0.0, 0.75), ("layers.0.0", 1): (1.0, 1.0)}
    planes = {}
    for equation in program.equations:
        if isinstance(equation, Nonlinear):
            lower, upper = slopes[equation.variable.place, equation.variable.unit]
            pair = PlanePair(Plane(lower, 0.0, 1e6), Plane(upper, 0.0, -1e6))
            planes[equation.variable] = Given("relu", POINT_ZERO, POINT_ZERO, pair)
    return network, FrameBalls(np.zeros((1, 1)), np.ones(1)), planes
