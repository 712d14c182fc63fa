"""The LSTM cell, with or without projection.

Source     POPQORN (Ko et al. 2019), section 3.3 and theorem A.3; PyTorch's nn.LSTM.
Cell       (i, f, g, o) = W_ih x_t + W_hh h_(t-1) + b,
           c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),   m_t = sigmoid(o) tanh(c_t),
           h_t = m_t, or W_hr m_t with a projection.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpu_engine.cells.state import State
from gpu_engine.model import Direction
from gpu_engine.steps import Bias, Nonlinearity, Place, Tape, Term, View, terms_of


def lstm(tape: Tape, weights: Direction, x: Sequence[View], before: State, place: Place) -> State:
    """The steps of one frame."""
    terms = terms_of(x, weights.weight_ih)
    if before.hidden is not None:
        terms.append(Term(before.hidden, weights.weight_hh))
    gates = tape.affine("gates", 4 * weights.hidden_size, terms, (Bias(weights.bias_ih), Bias(weights.bias_hh)), place)
    i, f, g, o = gates.chunk(4)
    parts = [Nonlinearity("sigmoid_times_tanh", "input", i, g)]
    if before.cell is not None:
        parts.append(Nonlinearity("sigmoid_times_identity", "forget", f, before.cell))
    cell = tape.nonlinear("cell state", parts, place)
    hidden = tape.nonlinear("hidden state", [Nonlinearity("sigmoid_times_tanh", "output", o, cell)], place)
    if weights.weight_hr is not None:
        terms = [Term(hidden, weights.weight_hr)]
        hidden = tape.affine("projected state", weights.output_size, terms, (), place)
    return State(hidden, cell)
