"""Back-substitution of linear forms through time and layers, down to the input set.

Method card
    Claim      `Unrolled.lower_bounds(forms)` <= the forms' values on every input of the set.
    Source     POPQORN (Ko et al. 2019), theorem A.3; CROWN and DeepPoly call it the backward pass.
    Idea       only lower bounds are implemented: the upper bound of a form is minus the lower bound of minus it.
    Sound?     yes in exact arithmetic with sound planes (lemma `back_substitution`). Rounding: a coefficient that is
               computed as A + d instead of A changes the form by at most |d| times the magnitude of
               its variable; all such errors are bounded per unit and folded into the planes' constants once
               (`cells.lstm.relax`, lemma `charged_rounding`), so rows pay nothing for it.
    Shapes     coefficients (batch or 1, spec, hidden), bounds (batch, spec).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpu_engine.cells.lstm import F, G, I, LayerWeights, O, RelaxedProduct, choose
from gpu_engine.propagation.concretize import PreparedInput
from gpu_engine.rounding import tiny

Node = tuple[int, int]  # (layer, t)

# Samples are substituted in blocks whose coefficients take about this much memory: on a CPU so little that they stay
# in its caches (a quarter faster, measured), elsewhere enough to fill the device. Results do not depend on it.
BLOCK_BYTES = {"cpu": 2 << 20}
BLOCK_BYTES_ELSEWHERE = 1 << 30


@dataclass
class Forms:
    """Rows of linear forms over hidden and cell states, plus a constant (batch, spec)."""

    constant: Tensor
    hidden: dict[Node, Tensor] = field(default_factory=dict)
    cell: dict[Node, Tensor] = field(default_factory=dict)

    def add_hidden(self, node: Node, rows: Tensor) -> None:
        known = self.hidden.get(node)
        self.hidden[node] = rows if known is None else known + rows

    def part(self, samples: slice) -> Forms:
        """The forms of some samples; rows that all samples share stay shared."""
        hidden, cell = (
            {node: rows if rows.shape[0] == 1 else rows[samples] for node, rows in states.items()}
            for states in (self.hidden, self.cell)
        )
        return Forms(self.constant[samples], hidden, cell)

    def rows(self) -> int:
        """How many forms there are per sample."""
        return max(rows.shape[1] for rows in (*self.hidden.values(), *self.cell.values()))


@dataclass
class Unrolled:
    """The relaxed network as far as it is built: products by (layer, t)."""

    layers: list[LayerWeights]
    inputs: PreparedInput
    output: dict[Node, RelaxedProduct] = field(default_factory=dict)
    input: dict[Node, RelaxedProduct] = field(default_factory=dict)
    forget: dict[Node, RelaxedProduct] = field(default_factory=dict)
    magnitude: float = 1.0

    def lower_bounds(self, forms: Forms, last: int) -> Tensor:
        """Lower bounds (batch, spec) of the forms; no state later than frame `last` may occur in them."""
        batch, size = forms.constant.shape[0], self._block_size(forms.rows())
        blocks = (slice(start, start + size) for start in range(0, batch, size))
        return torch.cat([self._block(forms.part(samples), samples, last) for samples in blocks])

    def _block_size(self, rows: int) -> int:
        center = self.inputs.center
        widest = max(max(4 * w.hidden, w.weight_ih.shape[1]) for w in self.layers)
        memory = BLOCK_BYTES.get(center.device.type, BLOCK_BYTES_ELSEWHERE)
        return max(1, memory // (rows * widest * center.element_size()))

    def _block(self, forms: Forms, samples: slice, last: int) -> Tensor:
        inputs = self.inputs.part(samples)
        for t in range(last, -1, -1):
            for layer in range(len(self.layers) - 1, -1, -1):
                self._substitute(forms, (layer, t), samples, inputs)
        return forms.constant - self.underflow(last)

    def underflow(self, last: int) -> float:
        """What all underflows of one pass can add up to: the number of operations times `tiny` times a magnitude."""
        units = sum(8 * w.hidden * (w.hidden + w.weight_ih.shape[1] + 8) for w in self.layers)
        return tiny(self.inputs.center.dtype) * (last + 1) * units * (1 + self.magnitude)

    def _substitute(self, forms: Forms, node: Node, samples: slice, inputs: PreparedInput) -> None:
        layer, t = node
        before = (layer, t - 1)
        on_hidden, on_cell = forms.hidden.pop(node, None), forms.cell.pop(node, None)
        on_output = None
        if on_hidden is not None:
            product = self.output[node].part(samples)
            positive = on_hidden >= 0
            on_output = choose(positive, on_hidden, product.v_lower, product.v_upper)
            through = choose(positive, on_hidden, product.z_lower, product.z_upper)
            on_cell = through if on_cell is None else on_cell + through
            forms.constant = forms.constant + _constants(on_hidden, product.const_lower, product.const_upper)
        if on_cell is None:
            return
        gates = self._through_cell(forms, node, on_cell, samples)
        if on_output is not None:
            gates.append(on_output)
        stacked = torch.cat(gates, dim=-1)
        weights = self.layers[layer]
        has_forget, has_output = node in self.forget, on_output is not None
        if t > 0:
            forms.add_hidden(before, stacked @ _gate_rows(weights.weight_hh, has_forget, has_output))
        onto_input = stacked @ _gate_rows(weights.weight_ih, has_forget, has_output)
        if layer > 0:
            forms.add_hidden((layer - 1, t), onto_input)
        else:
            forms.constant = forms.constant + inputs.concretize(onto_input, t)

    def _through_cell(self, forms: Forms, node: Node, on_cell: Tensor, samples: slice) -> list[Tensor]:
        """Substitute c_t; returns the coefficients on its gates in the order i, (f), g."""
        positive = on_cell >= 0
        product = self.input[node].part(samples)
        on_input = choose(positive, on_cell, product.v_lower, product.v_upper)
        on_candidate = choose(positive, on_cell, product.z_lower, product.z_upper)
        lower, upper = product.const_lower, product.const_upper
        gates = [on_input, on_candidate]
        if node in self.forget:
            forget = self.forget[node].part(samples)
            on_forget = choose(positive, on_cell, forget.v_lower, forget.v_upper)
            forms.cell[node[0], node[1] - 1] = choose(positive, on_cell, forget.z_lower, forget.z_upper)
            lower, upper = lower + forget.const_lower, upper + forget.const_upper
            gates = [on_input, on_forget, on_candidate]
        forms.constant = forms.constant + _constants(on_cell, lower, upper)
        return gates


def _constants(coefficients: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    positive, negative = coefficients.clamp(min=0), coefficients.clamp(max=0)
    return (positive @ lower + negative @ upper)[..., 0]


def _gate_rows(weight: Tensor, has_forget: bool, has_output: bool) -> Tensor:
    """The rows of the stacked weights whose gates have coefficients."""
    hidden = weight.shape[0] // 4
    blocks = weight.view(4, hidden, -1)
    kept = [I, *([F] if has_forget else []), G, *([O] if has_output else [])]
    if len(kept) == 4:
        return weight
    return blocks[kept].reshape(len(kept) * hidden, -1)
