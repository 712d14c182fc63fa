"""The GRU cell, the reset gate after or before the matrix product.

Source     POPQORN (Ko et al. 2019), theorem A.6; PyTorch's nn.GRU; ONNX's linear_before_reset.
Cell       r = sigmoid(W_r x + U_r h + b_r),   z = sigmoid(W_z x + U_z h + b_z),
           n = tanh(W_n x + b_n + r * (U_n h + c_n))       (PyTorch; `gru`)
           n = tanh(W_n x + b_n + U_n (r * h) + c_n)       (`gru_reset_before`)
           h_t = (1 - z) n + z h.
Products   sigmoid(r) (U_n h + c_n) or sigmoid(r) h; (1 - z) n = sigmoid(-z) tanh(n's argument); sigmoid(z) h: the very
           planes of the LSTM. As two products the update is tighter than as n + z (h - n) with one.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpu_engine.cells.state import State
from gpu_engine.model import Direction
from gpu_engine.steps import Bias, Nonlinearity, Place, Tape, Term, View, terms_of


def gru(tape: Tape, weights: Direction, x: Sequence[View], before: State, place: Place) -> State:
    """The steps of one frame, the reset gate applied after the product."""
    size, hidden = weights.hidden_size, before.hidden
    terms = terms_of(x, weights.weight_ih[: 2 * size])
    if hidden is not None:
        terms.append(Term(hidden, weights.weight_hh))
    # Rows 0 .. 2 size: the gates r, z; the rest is U_n h + c_n, which reads no input.
    biases = (Bias(weights.bias_ih[: 2 * size]), Bias(weights.bias_hh))
    r, z, recurrent = tape.affine("gates", 3 * size, terms, biases, place).chunk(3)
    reset = tape.nonlinear("reset state", [Nonlinearity("sigmoid_times_identity", "reset", r, recurrent)], place)
    terms = [*terms_of(x, weights.weight_ih[2 * size :]), Term(reset)]
    return _update(tape, z, terms, (Bias(weights.bias_ih[2 * size :]),), hidden, place)


def gru_reset_before(tape: Tape, weights: Direction, x: Sequence[View], before: State, place: Place) -> State:
    """The steps of one frame, the reset gate applied to the state before the product."""
    size, hidden = weights.hidden_size, before.hidden
    terms = terms_of(x, weights.weight_ih[: 2 * size])
    if hidden is not None:
        terms.append(Term(hidden, weights.weight_hh[: 2 * size]))
    biases = (Bias(weights.bias_ih[: 2 * size]), Bias(weights.bias_hh[: 2 * size]))
    r, z = tape.affine("gates", 2 * size, terms, biases, place).chunk(2)
    terms = terms_of(x, weights.weight_ih[2 * size :])
    if hidden is not None:
        product = Nonlinearity("sigmoid_times_identity", "reset", r, hidden)
        terms.append(Term(tape.nonlinear("reset state", [product], place), weights.weight_hh[2 * size :]))
    return _update(
        tape, z, terms, (Bias(weights.bias_ih[2 * size :]), Bias(weights.bias_hh[2 * size :])), hidden, place
    )


def _update(
    tape: Tape, z: View, terms: list[Term], biases: tuple[Bias, ...], hidden: View | None, place: Place
) -> State:
    """h_t = sigmoid(-z) tanh(candidate) + sigmoid(z) h_(t-1)."""
    candidate = tape.affine("candidate", z.size, terms, biases, place)
    parts = [Nonlinearity("sigmoid_times_tanh", "candidate", z, candidate, negate=True)]
    if hidden is not None:
        parts.append(Nonlinearity("sigmoid_times_identity", "update", z, hidden))
    return State(tape.nonlinear("hidden state", parts, place))
