"""Faults in what the cells compute: gates, biases, directions, frames, pooling."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_LSTM: Final = "gpu_engine.cells.lstm"
_GRU: Final = "gpu_engine.cells.gru"
_VANILLA: Final = "gpu_engine.cells.vanilla"
_UNROLL: Final = "gpu_engine.cells.unroll"
_FORWARD: Final = "gpu_engine.forward"

FAULTS: Final = (
    Mutation(
        "lstm-input-and-forget-gate-swapped",
        "cells",
        "swapped gate order (f, i, g, o)",
        _LSTM,
        (("i, f, g, o = gates.chunk(4)", "f, i, g, o = gates.chunk(4)"),),
    ),
    Mutation(
        "lstm-onnx-gate-order",
        "cells",
        "ONNX's gate order i, o, f, g read as PyTorch's",
        _LSTM,
        (("i, f, g, o = gates.chunk(4)", "i, o, f, g = gates.chunk(4)"),),
    ),
    Mutation(
        "lstm-output-reads-the-old-cell",
        "cells",
        "time step off by one in the output gate's product",
        _LSTM,
        (('"output", o, cell)]', '"output", o, before.cell or cell)]'),),
    ),
    Mutation(
        "gru-reset-and-update-gate-swapped",
        "cells",
        "swapped gate order (z, r, n)",
        _GRU,
        (("r, z, recurrent = tape", "z, r, recurrent = tape"),),
    ),
    Mutation(
        "gru-update-not-complemented",
        "cells",
        "sigmoid(z) in the place of 1 - sigmoid(z)",
        _GRU,
        (("z, candidate, negate=True)", "z, candidate, negate=False)"),),
    ),
    Mutation(
        "gru-recurrent-bias-forgotten",
        "cells",
        "a forgotten bias: c_n inside the reset gate's product",
        _GRU,
        (
            (
                "(Bias(weights.bias_ih[: 2 * size]), Bias(weights.bias_hh))",
                "(Bias(weights.bias_ih[: 2 * size]), Bias(weights.bias_hh[: 2 * size]))",
            ),
        ),
    ),
    Mutation(
        "gru-variants-confused",
        "cells",
        "ONNX's linear_before_reset = 0 taken for PyTorch's GRU",
        _UNROLL,
        (('"gru_reset_before": gru_reset_before,', '"gru_reset_before": gru,'),),
    ),
    Mutation(
        "vanilla-second-bias-forgotten",
        "cells",
        "a forgotten bias",
        _VANILLA,
        (("biases = (Bias(weights.bias_ih), Bias(weights.bias_hh))", "biases = (Bias(weights.bias_ih),)"),),
    ),
    Mutation(
        "vanilla-recurrent-weight-transposed",
        "cells",
        "h W in the place of W h",
        _VANILLA,
        (("Term(before.hidden, weights.weight_hh)", "Term(before.hidden, weights.weight_hh.T.contiguous())"),),
    ),
    Mutation(
        "backward-state-read-at-the-wrong-end",
        "cells",
        "final state of the reversed direction taken at the last frame",
        _UNROLL,
        (("[run[0 if direction.reverse else -1] for", "[run[-1] for"),),
    ),
    Mutation(
        "backward-direction-runs-forward",
        "cells",
        "the reversed direction reads its frames in order",
        _UNROLL,
        (("for t in range(time - 1, -1, -1) if direction.reverse else range(time):", "for t in range(time):"),),
    ),
    Mutation(
        "frame-off-by-one",
        "cells",
        "time step off by one: a frame reads the one before it",
        _UNROLL,
        (
            (
                "        sources = frames[t] or [tape.frame(t)]\n",
                "        sources = frames[max(t - 1, 0)] or [tape.frame(max(t - 1, 0))]\n",
            ),
        ),
    ),
    Mutation(
        "mean-over-one-frame-less",
        "cells",
        "wrong pooling: the mean divides by time - 1",
        _UNROLL,
        (("divisor=len(views)) for view", "divisor=max(1, len(views) - 1)) for view"),),
    ),
    Mutation(
        "maximum-drops-the-odd-frame",
        "cells",
        "wrong pooling: the last of an odd number of frames has no partner",
        _UNROLL,
        (("level = pairs + level[len(level) - len(level) % 2 :]", "level = pairs"),),
    ),
    Mutation(
        "maximum-adds-the-rise-to-the-other",
        "cells",
        "wrong pooling: b + relu(b - a) in the place of a + relu(b - a)",
        _UNROLL,
        (("[Term(a), Term(rise)]", "[Term(b), Term(rise)]"),),
    ),
    Mutation(
        "negative-start-state-forgotten",
        "cells",
        "a start state without positive entries is taken for zeros",
        _UNROLL,
        (("not bool((value != 0).any())", "not bool((value > 0).any())"),),
    ),
    Mutation(
        "forward-gru-update-swapped",
        "cells",
        "the GRU's update written the other way round, as in the first papers",
        _FORWARD,
        (("return (1 - z) * n + z * h, c", "return z * n + (1 - z) * h, c"),),
    ),
    Mutation(
        "ragged-sequences-read-from-the-end",
        "cells",
        "padding in front in the place of padding behind",
        _FORWARD,
        (("x[rows, :length])", "x[rows, -length:])"),),
    ),
)
