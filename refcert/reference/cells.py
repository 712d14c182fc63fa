"""One frame of each cell as scalar equations.

Names of the products: LSTM `input` sigmoid(i) tanh(g), `forget` sigmoid(f) c, `output` sigmoid(o) tanh(c); GRU `reset`
sigmoid(r) (U h + c) or sigmoid(r) h, `candidate` sigmoid(-z) tanh(n), `update` sigmoid(z) h; vanilla `activation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from refcert.reference.equations import Affine, Equation, Nonlinear, Variable, affine_row
from refcert.reference.networks import Recurrent


class Step(NamedTuple):
    """The equations of one frame, and the variables of the states after it (cell: LSTM only)."""

    equations: list[Equation]
    hidden: list[Variable]
    cell: list[Variable]


Variables = Sequence[Variable]


def step(part: Recurrent, place: str, t: int, x: Variables, h: Variables, c: Variables) -> Step:
    """The equations of frame t, which reads x and the states h, c."""
    if part.cell == "lstm":
        return lstm(part, place, t, x, h, c)
    if part.cell in ("gru", "gru_reset_before"):
        return gru(part, place, t, x, h)
    return vanilla(part, place, t, x, h)


def vanilla(part: Recurrent, place: str, t: int, x: Variables, h: Variables) -> Step:
    """h_t = f(W_x x_t + b_x + W_h h_(t-1) + b_h). Source: POPQORN section 3.1, theorem A.2."""
    equations: list[Equation] = []
    hidden = []
    for j in range(part.hidden):
        y = _gate(part, place, t, j, 0, x, h)
        state = Variable(place, t, j, "activation")
        equations += [y, Nonlinear(state, part.cell.removeprefix("rnn_"), y.variable)]
        hidden.append(state)
    return Step(equations, hidden, [])


def lstm(part: Recurrent, place: str, t: int, x: Variables, h: Variables, c: Variables) -> Step:
    """c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g), h_t = sigmoid(o) tanh(c_t).

    With a projection (nn.LSTM's proj_size) the state handed on is W_hr h_t. Source: POPQORN section 3.2, theorem A.3.
    """
    equations: list[Equation] = []
    unprojected, cell = [], []
    for j in range(part.hidden):
        gate_i, gate_f, gate_g, gate_o = (_gate(part, place, t, j, block, x, h) for block in range(4))
        taken = Nonlinear(Variable(place, t, j, "input"), "sigmoid_times_tanh", gate_i.variable, gate_g.variable)
        kept = Nonlinear(Variable(place, t, j, "forget"), "sigmoid_times_identity", gate_f.variable, c[j])
        new_c = Affine(Variable(place, t, j, "cell"), ((1.0, kept.variable), (1.0, taken.variable)))
        shown = Nonlinear(Variable(place, t, j, "output"), "sigmoid_times_tanh", gate_o.variable, new_c.variable)
        equations += [gate_i, gate_f, gate_g, gate_o, taken, kept, new_c, shown]
        unprojected.append(shown.variable)
        cell.append(new_c.variable)
    if part.weight_hr is None:
        return Step(equations, unprojected, cell)
    projected = [
        affine_row(Variable(place, t, k, "projected"), [(part.weight_hr[k], unprojected)]) for k in range(part.output)
    ]
    return Step(equations + list(projected), [row.variable for row in projected], cell)


def gru(part: Recurrent, place: str, t: int, x: Variables, h: Variables) -> Step:
    """h_t = sigmoid(-z) tanh(n) + sigmoid(z) h_(t-1), from 1 - sigmoid(z) = sigmoid(-z). Source: POPQORN theorem A.6.

    gru: n = W x + b + sigmoid(r) (U h + c) (the paper's and PyTorch's form); gru_reset_before: n = W x + b +
    U (sigmoid(r) h) + c.
    """
    H = part.hidden
    equations: list[Equation] = []
    gates_r = [_gate(part, place, t, j, 0, x, h) for j in range(H)]
    gates_z = [_gate(part, place, t, j, 1, x, h) for j in range(H)]
    equations += [*gates_r, *gates_z]
    resets = []
    for j in range(H):
        factor = h[j]
        if part.cell == "gru":
            row = 2 * H + j
            inner = affine_row(Variable(place, t, j, "inner"), [(part.weight_hh[row], h)], [part.bias_hh[row]])
            equations.append(inner)
            factor = inner.variable
        reset = Nonlinear(Variable(place, t, j, "reset"), "sigmoid_times_identity", gates_r[j].variable, factor)
        equations.append(reset)
        resets.append(reset.variable)
    hidden = []
    for j in range(H):
        row = 2 * H + j
        n = Variable(place, t, j, "gate_2")
        if part.cell == "gru":
            from_x = affine_row(n, [(part.weight_ih[row], x)], [part.bias_ih[row]])
            equations.append(Affine(n, (*from_x.terms, (1.0, resets[j])), from_x.constants))
        else:
            parts = [(part.weight_ih[row], x), (part.weight_hh[row], resets)]
            equations.append(affine_row(n, parts, [part.bias_ih[row], part.bias_hh[row]]))
        minus_z = Affine(Variable(place, t, j, "minus_z"), ((-1.0, gates_z[j].variable),))
        candidate = Nonlinear(Variable(place, t, j, "candidate"), "sigmoid_times_tanh", minus_z.variable, n)
        update = Nonlinear(Variable(place, t, j, "update"), "sigmoid_times_identity", gates_z[j].variable, h[j])
        state = Affine(Variable(place, t, j, "state"), ((1.0, candidate.variable), (1.0, update.variable)))
        equations += [minus_z, candidate, update, state]
        hidden.append(state.variable)
    return Step(equations, hidden, [])


def _gate(part: Recurrent, place: str, t: int, j: int, block: int, x: Variables, h: Variables) -> Affine:
    """The pre-activation of unit j: W_x x_t + b_x + W_h h_(t-1) + b_h, row j of the block."""
    row = block * part.hidden + j
    parts = [(part.weight_ih[row], x), (part.weight_hh[row], h)]
    return affine_row(Variable(place, t, j, f"gate_{block}"), parts, [part.bias_ih[row], part.bias_hh[row]])
