"""One node of an ONNX graph with its inputs: what a handler asks for is marked, what it did not ask for is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpu_engine.onnx_loading.files import TensorReader
from gpu_engine.onnx_loading.values import Label, Refusal, Value


class Node:
    """A NodeProto, the values of its inputs, and the operator set of the model."""

    def __init__(self, proto: Any, values: Sequence[Value | None], opset: int, reader: TensorReader) -> None:
        self.shown = shown(proto)
        self.operator: str = proto.op_type
        self.opset = opset
        self.outputs = len(proto.output)
        self._values = list(values)
        self._reader = reader
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        if len(self._attributes) < len(proto.attribute):
            raise Refusal("states an attribute twice")
        self._asked: set[str | int] = set()

    def finish(self) -> None:
        """Refuse the node if it states something that was not asked for."""
        names = [repr(name) for name in self._attributes if name not in self._asked]
        names += [f"input {k}" for k, v in enumerate(self._values) if v is not None and k not in self._asked]
        if names:
            raise Refusal(f"states {', '.join(names)}, which is not supported; export the model without it")

    # inputs

    def optional(self, k: int) -> Value | None:
        self._asked.add(k)
        return self._values[k] if k < len(self._values) else None

    def input(self, k: int) -> Value:
        value = self.optional(k)
        if value is None:
            raise Refusal(f"has no input {k}")
        return value

    def inputs(self) -> list[Value]:
        """All inputs, of which there is at least one."""
        return [self.input(k) for k in range(max(1, len(self._values)))]

    def known(self, k: int, what: str) -> Value:
        """An input that has to be a constant."""
        value = self.input(k)
        if value.signal:
            raise Refusal(f"computes its {what} from the model's input; only constants are supported there")
        return value

    def lengths(self, k: int, what: str) -> list[int | Label]:
        """A constant vector of integers, or of lengths that are not known."""
        value = self.known(k, what)
        if value.array.dtype not in (np.int64, np.dtype(object)) or value.array.ndim > 1 or any(value.axes):
            raise Refusal(f"its {what} is no vector of integers")
        return [item if isinstance(item, Label) else int(item) for item in value.array.ravel()]

    def listed(self, name: str, k: int, since: int) -> list[int] | None:
        """Integers that are an attribute in older operator sets and input k from `since` on; None if absent."""
        if self.opset < since:
            return self.integers(name)
        if self.optional(k) is None:
            return None
        items = self.lengths(k, name)
        if any(isinstance(item, Label) for item in items):
            raise Refusal(f"its {name} depend on the shape of the model's input; only constants are supported")
        return [int(item) for item in items if not isinstance(item, Label)]

    # attributes

    def _attribute(self, name: str, kinds: Sequence[str]) -> Any:
        import onnx

        self._asked.add(name)
        attribute = self._attributes.get(name)
        if attribute is None:
            return None
        kind = onnx.AttributeProto.AttributeType.Name(attribute.type) if attribute.type in range(1, 15) else "unknown"
        if kind not in kinds or attribute.ref_attr_name:
            raise Refusal(f"its attribute {name!r} is of kind {kind}, not {' or '.join(kinds)}")
        return onnx.helper.get_attribute_value(attribute)

    def integer(self, name: str, default: int) -> int:
        value = self._attribute(name, ["INT"])
        return default if value is None else int(value)

    def integers(self, name: str) -> list[int] | None:
        value = self._attribute(name, ["INTS"])
        return None if value is None else [int(item) for item in value]

    def number(self, name: str, default: float) -> float:
        value = self._attribute(name, ["FLOAT"])
        return default if value is None else float(value)

    def text(self, name: str, default: str) -> str:
        value = self._attribute(name, ["STRING"])
        return default if value is None else bytes(value).decode("utf-8", "replace")

    def texts(self, name: str) -> list[str] | None:
        value = self._attribute(name, ["STRINGS"])
        return None if value is None else [bytes(item).decode("utf-8", "replace") for item in value]

    def tensor(self, name: str) -> Value | None:
        value = self._attribute(name, ["TENSOR"])
        return None if value is None else self._reader.read(value)

    def forbid(self, name: str, why: str) -> None:
        """Refuse an attribute that changes what the node computes, whatever its value."""
        if name in self._attributes:
            raise Refusal(f"states {name!r}: {why}")
        self._asked.add(name)

    def given(self, name: str) -> bool:
        return name in self._attributes


def shown(proto: Any) -> str:
    """A node for messages: its name if it has one, and its operator."""
    if proto.name:
        return f"node {proto.name!r} ({proto.op_type})"
    outputs = ", ".join(repr(name) for name in proto.output if name)
    return f"the node that makes {outputs} ({proto.op_type})"
