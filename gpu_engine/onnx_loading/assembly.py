"""A chain of stages -> gpu_engine.model.RecurrentClassifier."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gpu_engine import model
from gpu_engine.onnx_loading.stages import Elementwise, Frames, Linear, Recurrent, Stage
from gpu_engine.onnx_loading.values import Array, Refusal


def assemble(stage: Stage, columns: Array, stored_dtype: str) -> model.RecurrentClassifier:
    """The normal form whose logits are these columns of the last stage."""
    after: list[model.Block] = []
    if isinstance(stage, Linear):
        bias = np.zeros(stage.size) if stage.bias is None else stage.bias
        after.append(_dense(stage.weight[columns], bias[columns]))
        stage = stage.below
    else:  # the logits are what the last layer or activation gives: a head that copies says just that
        weight = np.zeros((len(columns), stage.size))
        weight[np.arange(len(columns)), columns] = 1
        after.append(_dense(weight, np.zeros(len(columns))))
    stage = _blocks(stage, after)
    if not isinstance(stage, Recurrent):
        raise Refusal("no RNN, LSTM or GRU stands between the input and this output; give a recurrent classifier")
    readout, layers, top = stage.view, [], True
    before: list[model.Block] = []
    while isinstance(stage, Recurrent):
        if not top and stage.view != "every":
            raise Refusal(f"{stage.node} is read as {stage.view} by another layer; layers have to read all outputs")
        layers.append(tuple(run.direction for run in stage.runs))
        stage, top = stage.runs[0].below, False
        first = stage
        stage = _blocks(stage, before)
        if before and isinstance(stage, Recurrent):
            raise Refusal(
                f"{first.node} stands between two recurrent layers, where the normal form has nothing; multiply it "
                "into the weights of the layer above, where it is linear"
            )
    if not isinstance(stage, Frames):
        raise Refusal("the first recurrent layer does not read the model's input")
    return model.RecurrentClassifier(
        layers=tuple(reversed(layers)),
        after=tuple(reversed(after)),
        before=tuple(reversed(before)),
        readout=readout,
        embedding=None if stage.embedding is None else tensor(stage.embedding),
        stored_dtype=stored_dtype,
    )


def _blocks(stage: Stage, blocks: list[model.Block]) -> Stage:
    """Append the blocks down from a stage, last first; the stage below them."""
    while isinstance(stage, Linear | Elementwise):
        if isinstance(stage, Linear):
            blocks.append(_dense(stage.weight, np.zeros(stage.size) if stage.bias is None else stage.bias))
        else:
            blocks.append(model.Activation(stage.kind))
        stage = stage.below
    return stage


def _dense(weight: Array, bias: Array) -> model.Dense:
    return model.Dense(tensor(weight), tensor(bias))


def tensor(array: Array) -> Tensor:
    """A float64 tensor of its own memory."""
    return torch.from_numpy(np.array(array, dtype=np.float64, order="C"))
