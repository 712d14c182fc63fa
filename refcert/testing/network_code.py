"""A classifier as Python source in plain torch: what snippets evaluate instead of the engine's own forward pass.

The recurrences are torch.nn's where it has them, else written out. Weights and data are in the source where they are
few, else in one safetensors file beside it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safetensors.torch import save
from torch import Tensor

from gpu_engine.certificates.network import Network
from gpu_engine.model import Activation, Block, Direction, RecurrentClassifier

EMBEDDED = 100
"""Numbers, of weights and data together, up to which a snippet holds them itself."""
FOLDER: Final = "refcert-evidence"
"""Where evidence goes, below the system's folder for temporary files, if nobody says where."""

_NN: Final = {
    "lstm": "nn.LSTM({})",
    "gru": "nn.GRU({})",
    "rnn_tanh": "nn.RNN({})",
    "rnn_relu": 'nn.RNN({}, nonlinearity="relu")',
}
_STEPS: Final = {
    # nn.LSTM with a projection warns that it is slow
    "lstm": [
        "        i, f, g, o = (from_x + h @ w_hh.T + b_hh).chunk(4, dim=1)",
        "        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)",
        "        h = (torch.sigmoid(o) * torch.tanh(c)) @ w_hr.T",
    ],
    "rnn_sigmoid": ["        h = torch.sigmoid(from_x + h @ w_hh.T + b_hh)"],
    "gru_reset_before": [
        "        x_r, x_z, x_n = from_x.chunk(3, dim=1)",
        "        (w_r, w_z, w_n), (b_r, b_z, b_n) = w_hh.chunk(3), b_hh.chunk(3)",
        "        r, z = torch.sigmoid(x_r + h @ w_r.T + b_r), torch.sigmoid(x_z + h @ w_z.T + b_z)",
        "        h = (1 - z) * torch.tanh(x_n + (r * h) @ w_n.T + b_n) + z * h",
    ],
}


def network_source(model: RecurrentClassifier, evidence: Path | None, data: Mapping[str, Tensor]) -> list[str]:
    """Lines that import torch, define `W` (weights and data by name) and `network(x)`, x (batch, time, input).

    data: more tensors for `W`; none may be called as a weight. Where they are many, they are written to a file
    in the folder `evidence` (None: see FOLDER), which is made if need be. Raises OSError.
    """
    tensors = {**{n: v for n, v in model.named_weights().items() if n != "embedding"}, **data}
    cells = [direction for layer in model.layers for direction in layer]
    torch_cells = any(_is_of_torch(direction) for direction in cells)
    lines = ["import torch"]
    if sum(value.numel() for value in tensors.values()) <= EMBEDDED:
        lines += ["from torch import nn"] * torch_cells
        lines += ["", "W = {", *(f"    {name!r}: {_literal(value)}," for name, value in tensors.items()), "}"]
    else:
        stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        path = _saved(save(stored), "evidence", evidence)
        lines += ["from safetensors.torch import load_file", *["from torch import nn"] * torch_cells, ""]
        lines += [f"W = load_file({str(path)!r})"]
    lines += ["", ""]
    for k, layer in enumerate(model.layers):
        for j, direction in enumerate(layer):
            lines += [*_direction(f"{k}.{j}", direction), "", ""]
    return [*lines, *_network(model), "", ""]


def _literal(value: Tensor) -> str:
    return f"torch.tensor({value.detach().cpu().tolist()!r}, dtype=torch.{str(value.dtype).removeprefix('torch.')})"


def _saved(content: bytes, name: str, evidence: Path | None) -> Path:
    """A file of this content, named by it: the same evidence has the same name, whoever writes it at the same time."""
    folder = Path(tempfile.gettempdir()) / FOLDER if evidence is None else evidence
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}.safetensors"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    return path


def _direction(name: str, direction: Direction) -> list[str]:
    """A function of one direction of one layer, x (batch, time, input) -> (batch, time, output)."""
    prefix, turned = f"layers.{name}.", ".flip(1)" if direction.reverse else ""
    head = f"def layer_{name.replace('.', '_')}(x):"
    h = f'W["{prefix}initial_hidden"]' if direction.initial_hidden is not None else ""
    if not _is_of_torch(direction):
        return [head, *_written_out(direction, prefix, h, turned)]
    sizes = f"{direction.input_size}, {direction.hidden_size}, batch_first=True, dtype=torch.float64"
    names = [part for part, _ in direction.named_weights() if not part.startswith("initial_")]
    state = ", ".join(f'"{part}_l0": W["{prefix}{part}"]' for part in names)
    lines = [
        head,
        f"    cell = {_NN[direction.cell].format(sizes)}",
        f"    cell.load_state_dict({{{state}}})",
    ]
    if not h and direction.initial_cell is None:
        return [*lines, f"    return cell(x{turned})[0]{turned}"]

    many = ".expand(1, len(x), -1).contiguous()"
    start = _start_of(h, direction.output_size) + many
    if direction.cell == "lstm":
        c = f'W["{prefix}initial_cell"]' if direction.initial_cell is not None else ""
        start = f"({start}, {_start_of(c, direction.hidden_size)}{many})"
    return [*lines, f"    start = {start}", f"    return cell(x{turned}, start)[0]{turned}"]


def _is_of_torch(direction: Direction) -> bool:
    return direction.cell in _NN and direction.weight_hr is None


def _written_out(direction: Direction, prefix: str, h: str, turned: str) -> list[str]:
    parts = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
    states = {"h": _start_of(h, direction.output_size)}
    if direction.weight_hr is not None:
        parts["w_hr"] = "weight_hr"
        c = f'W["{prefix}initial_cell"]' if direction.initial_cell is not None else ""
        states["c"] = _start_of(c, direction.hidden_size)
    weights = ", ".join(f'W["{prefix}{part}"]' for part in parts.values())
    starts = ", ".join(f"{start}.expand(len(x), -1)" for start in states.values())
    return [
        f"    {', '.join(parts)} = {weights}",
        f"    {', '.join(states)}, outputs = {starts}, []",
        f"    for frame in x{turned}.unbind(1):",
        "        from_x = frame @ w_ih.T + b_ih",
        *_STEPS[direction.cell],
        "        outputs.append(h)",
        f"    return torch.stack(outputs, 1){turned}",
    ]


def _start_of(value: str, size: int) -> str:
    """A start state: the stored one, or zeros."""
    return value or f"torch.zeros({size}, dtype=x.dtype)"


def _network(model: RecurrentClassifier) -> list[str]:
    lines = ["def network(x):", *_blocks(model.before, "before")]
    for k, layer in enumerate(model.layers):
        runs = ", ".join(f"layer_{k}_{j}(x)" for j in range(len(layer)))
        last = k == len(model.layers) - 1
        if last and model.readout == "final":
            ends = ", ".join(
                f"layer_{k}_{j}(x)[:, {0 if direction.reverse else -1}]" for j, direction in enumerate(layer)
            )
            lines.append(f"    x = {f'torch.cat([{ends}], 1)' if len(layer) > 1 else ends}")
        else:
            lines.append(f"    x = {f'torch.cat([{runs}], 2)' if len(layer) > 1 else runs}")
    read = {"last_frame": "x[:, -1]", "mean": "x.mean(1)", "max": "x.amax(1)"}.get(model.readout)
    lines += [f"    x = {read}"] if read else []
    lines += _blocks(model.after, "after")
    return [*lines, "    return x.detach()"]


def _blocks(blocks: tuple[Block, ...], where: str) -> list[str]:
    return [
        f"    x = torch.{block.kind}(x)"
        if isinstance(block, Activation)
        else f'    x = x @ W["{where}.{k}.weight"].T + W["{where}.{k}.bias"]'
        for k, block in enumerate(blocks)
    ]


def exact_source(model: RecurrentClassifier, evidence: Path | None, data: Mapping[str, Tensor]) -> list[str]:
    """The same in ball arithmetic, for what float64 cannot show: `network(x)` takes frames as lists, gives balls."""
    path = _saved(Network(model, "network.safetensors").content(), "network", evidence)
    return [
        "# float64 cannot show it; ball arithmetic can.",
        "from pathlib import Path",
        "",
        "import torch",
        "from flint import ctx",
        "",
        "from refcert.app.sandwich.exact_network import exact_outputs",
        "from refcert.kernel.ball import exact",
        "from refcert.kernel.container import WIDTHS, parse_container",
        "from refcert.kernel.network import build_network",
        "from refcert.kernel.program import unroll",
        "",
        "ctx.prec = 2048",
        f"file = parse_container(Path({str(path)!r}).read_bytes(), WIDTHS)",
        "W = {",
        *(f"    {name!r}: {_literal(value)}," for name, value in data.items()),
        "}",
        "",
        "",
        "def network(x):",
        '    return exact_outputs(unroll(build_network(file.body["structure"], file.tensors), len(x)), x)',
        "",
        "",
    ]
