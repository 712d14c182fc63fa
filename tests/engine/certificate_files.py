"""Certificate and network files, read with the specification, json and safetensors alone: sections 2 to 7.

`open_file` insists on every form that the text demands of the container, `check_body` on those of a certificate's body.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
import safetensors.torch

MAX_DEPTH = 8
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
REAL = re.compile(r"-?0x1\.[0-9a-f]{13}p[+-](0|[1-9][0-9]*)|-?0x0\.[0-9a-f]{13}p-1022|0x0\.0p\+0")
STEP_KEYS = {
    "diagonals": {"rule", "of", "part", "sets"},
    "planes": {"rule", "of", "part", "set"},
    "box.interval": {"rule", "of"},
    "box.intersection": {"rule", "of", "sets"},
    "margin": {"rule", "sets"},
    "margin.per_class": {"rule", "sets"},
}
SET_KEYS = {
    "frame_balls": ({"kind", "p"}, {"clip"}, {"center", "radius"}),
    "sequence_ball": ({"kind", "p"}, {"clip", "moves"}, {"center", "radius"}),
    "boxes": ({"kind"}, set(), {"lower", "upper"}),
    "substitutions": ({"kind", "counts"}, set(), {"center"}),
}
QUESTION_KEYS = {
    "untargeted": {"kind", "label"},
    "targeted": {"kind", "label", "target"},
    "top_k": {"kind", "label", "k"},
    "untargeted_steps": {"kind", "labels"},
    "rows": {"kind"},
}


@dataclass(frozen=True)
class File:
    """header: the tensors' entries; body: the JSON text in the metadata; tensors: by name, as float64 numbers."""

    header: dict
    body: dict
    tensors: dict[str, np.ndarray]


def plain_json(text: str) -> dict:
    """Section 2's JSON: one object, no repeated keys, only non-negative integers below 2^53, nested at most 8 deep."""

    def refuse(found):
        raise AssertionError(f"{found} is no non-negative integer")

    def whole(text):
        assert re.fullmatch("0|[1-9][0-9]*", text)
        assert int(text) < 2**53
        return int(text)

    def unique(pairs):
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    value = json.loads(text, parse_int=whole, parse_float=refuse, parse_constant=refuse, object_pairs_hook=unique)
    assert isinstance(value, dict)
    assert _depth(value) <= MAX_DEPTH
    return value


def _depth(value) -> int:
    assert type(value) in (dict, list, str, int)
    if isinstance(value, dict):
        return 1 + max((_depth(one) for one in value.values()), default=0)
    return 1 + max((_depth(one) for one in value), default=0) if isinstance(value, list) else 0


def open_file(content: bytes, dtypes=("F64", "F32")) -> File:
    length = int.from_bytes(content[:8], "little")
    assert length <= 2**24
    assert len(content) <= 2**30
    text = content[8 : 8 + length].decode()
    assert text.startswith("{")
    assert text.rstrip(" ").endswith("}")
    header = plain_json(text)
    metadata = header.pop("__metadata__")
    assert metadata.keys() == {"refcert"}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        assert re.fullmatch("[A-Za-z0-9_.]{1,64}", name)
        assert entry.keys() == {"dtype", "shape", "data_offsets"}
        assert entry["dtype"] in dtypes
        assert 1 <= len(entry["shape"]) <= 3
        assert min(entry["shape"]) > 0
        assert entry["data_offsets"] == [end, end + SIZES[entry["dtype"]] * int(np.prod(entry["shape"]))]
        end = entry["data_offsets"][1]
    assert end == len(content) - 8 - length
    tensors = {name: value.double().numpy() for name, value in safetensors.torch.load(content).items()}
    assert all(np.isfinite(value).all() for value in tensors.values())
    assert all(_narrow(header[name]["dtype"], value) for name, value in tensors.items())
    return File(header, plain_json(metadata["refcert"]), tensors)


def _narrow(dtype: str, value: np.ndarray) -> bool:
    """Whether the tensor could not have been stored as F32, if it is F64."""
    with np.errstate(over="ignore"):
        return dtype != "F64" or bool((value.astype(np.float32) != value).any())


def network_of(content: bytes) -> tuple[str, dict[str, np.ndarray]]:
    """Structure and weights of a network's file."""
    found = open_file(content, SIZES)
    assert found.body.keys() == {"format", "version", "structure"}
    assert (found.body["format"], found.body["version"]) == ("refcert network", 1)
    return found.body["structure"], found.tensors


def check_body(file: File) -> None:
    """Sections 3, 5, 6 and 7: keys, forms and order; and no tensor besides those that the text names."""
    body = file.body
    assert body.keys() == {
        *("format", "version", "network", "inputs", "specification", "steps", "margin", "claim", "about")
    }
    assert (body["format"], body["version"]) == ("refcert certificate", 1)
    assert real(body["margin"]) > 0
    assert re.fullmatch("[0-9a-f]{64}", body["claim"])
    assert re.fullmatch("[0-9a-f]{64}", body["network"]["digest"])
    assert all(type(value) is str for value in body["about"].values())
    tensors = _check_inputs(body["inputs"], file.tensors)
    tensors |= _check_question(body["specification"])
    tensors |= {f"step.{k}" for k in range(len(body["steps"]) - 1)}
    assert {name for name in file.tensors if not name.startswith("network.")} == tensors
    _check_steps(body["steps"], body["specification"]["kind"])


def real(text: str) -> float:
    assert REAL.fullmatch(text), text
    return float.fromhex(text)


def _check_inputs(inputs: dict, tensors) -> set[str]:
    needed, optional, named = SET_KEYS[inputs["kind"]]
    assert needed <= inputs.keys() <= needed | optional
    time, size = tensors[min(named)].shape
    if "p" in inputs:
        assert inputs["p"] == "inf" or real(inputs["p"]) >= 1
        assert tensors["radius"].shape == ((time,) if inputs["kind"] == "frame_balls" else (1,))
        assert tensors["radius"].min() >= 0
    if "clip" in inputs:
        low, high = (real(end) for end in inputs["clip"])
        assert low < high
        assert low <= tensors["center"].min() <= tensors["center"].max() <= high
    if "moves" in inputs:
        assert inputs["moves"] == sorted(set(inputs["moves"]))
        assert set(inputs["moves"]) < set(range(time))
    if inputs["kind"] == "boxes":
        assert tensors["upper"].shape == (time, size)
        assert (tensors["lower"] <= tensors["upper"]).all()
    if inputs["kind"] == "substitutions" and any(inputs["counts"]):
        assert len(inputs["counts"]) == time
        assert tensors["candidates"].shape == (sum(inputs["counts"]), size)
        return named | {"candidates"}
    return set(named)


def _check_question(asked: dict) -> set[str]:
    assert asked.keys() == QUESTION_KEYS[asked["kind"]]
    return {"rows.C", "rows.d"} if asked["kind"] == "rows" else set()


def _check_steps(steps: list[dict], kind: str) -> None:
    *before, last = steps
    assert last["rule"] == "margin" or (last["rule"] == "margin.per_class" and kind in ("untargeted", "targeted"))
    order = []
    for step in steps:
        assert step.keys() == STEP_KEYS[step["rule"]]
        assert step.get("sets", [0]) == sorted({*step.get("sets", [0])} & set(range(8))) != []
    for step in before:
        if step["rule"] == "diagonals":
            order.append((step["of"], 0, step["part"], 0))
        elif step["rule"] == "planes":
            order.append((step["of"], 1, step["part"], step["set"]))
        else:
            order.append((step["of"], 2, 0, 0))
    assert order == sorted(set(order))
