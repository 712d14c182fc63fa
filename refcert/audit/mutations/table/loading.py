"""Faults in reading models: gate orders, biases, directions, layers left out."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_RECURRENT: Final = "gpu_engine.onnx_loading.recurrent"
_MODEL: Final = "gpu_engine.model"

FAULTS: Final = (
    Mutation(
        "onnx-lstm-order-unchanged",
        "loading",
        "swapped gate order: ONNX's i, o, f, c kept as it is",
        _RECURRENT,
        (('"LSTM": (0, 2, 3, 1)', '"LSTM": (0, 1, 2, 3)'),),
    ),
    Mutation(
        "onnx-gru-order-unchanged",
        "loading",
        "swapped gate order: ONNX's z, r, h kept as it is",
        _RECURRENT,
        (('"GRU": (1, 0, 2)', '"GRU": (0, 1, 2)'),),
    ),
    Mutation(
        "onnx-reset-flag-ignored",
        "loading",
        "linear_before_reset is read and not used",
        _RECURRENT,
        (('["gru" if before else "gru_reset_before"]', '["gru"]'),),
    ),
    Mutation(
        "onnx-second-bias-is-the-first",
        "loading",
        "a forgotten bias: Wb used in the place of Rb",
        _RECURRENT,
        (
            (
                "bias_hh=tensor(weights.gates(weights.biases[k, 1]))",
                "bias_hh=tensor(weights.gates(weights.biases[k, 0]))",
            ),
        ),
    ),
    Mutation(
        "onnx-start-states-of-the-first-direction",
        "loading",
        "both directions start from the first one's state",
        _RECURRENT,
        (("initial_hidden=_start(starts[0], k)", "initial_hidden=_start(starts[0], 0)"),),
    ),
    Mutation(
        "onnx-peepholes-ignored",
        "loading",
        "an input that changes the equations is skipped",
        _RECURRENT,
        (("if node.optional(7) is not None:", "if False:"),),
    ),
    Mutation(
        "digest-without-shapes",
        "loading",
        "two networks with one digest",
        _MODEL,
        (('hasher.update(f"{name}:{tuple(value.shape)}\\n".encode())', "pass"),),
    ),
    Mutation(
        "nan-weights-accepted",
        "loading",
        "a check that cannot fail: NaN in a weight",
        _MODEL,
        (("        bad = ~torch.isfinite(value)\n", "        bad = torch.zeros_like(value, dtype=torch.bool)\n"),),
    ),
    Mutation(
        "unknown-entries-ignored",
        "loading",
        "an entry of the state dict that is not understood is skipped",
        "gpu_engine.loading",
        (("    if groups.others:\n", "    if False:\n"),),
    ),
)
