"""The vanilla RNN cell with tanh, ReLU or sigmoid.

Source     POPQORN (Ko et al. 2019), section 3.1 and theorem A.2; PyTorch's nn.RNN.
Cell       h_t = phi(W_ih x_t + W_hh h_(t-1) + b).
"""

from __future__ import annotations

from collections.abc import Sequence

from gpu_engine.cells.state import State
from gpu_engine.model import Direction
from gpu_engine.steps import Bias, Nonlinearity, Place, Tape, Term, View, terms_of


def vanilla(tape: Tape, weights: Direction, x: Sequence[View], before: State, place: Place) -> State:
    """The steps of one frame."""
    terms = terms_of(x, weights.weight_ih)
    if before.hidden is not None:
        terms.append(Term(before.hidden, weights.weight_hh))
    biases = (Bias(weights.bias_ih), Bias(weights.bias_hh))
    argument = tape.affine("pre-activations", weights.hidden_size, terms, biases, place)
    kind = weights.cell.removeprefix("rnn_")
    return State(tape.nonlinear("hidden state", [Nonlinearity(kind, "activation", argument)], place))
