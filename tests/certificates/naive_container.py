"""Sections 2 and 3 of proofs/spec/certificate_v1.md for the naive checker: the container, strictly; forms of values."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

Vector = list[Fraction]

MAX_HEADER, MAX_FILE, MAX_INTEGER, MAX_DEPTH = 2**24, 2**30, 2**53, 8
DTYPES = {"F64": (8, "d"), "F32": (4, "f"), "F16": (2, "e"), "BF16": (2, "f")}


class Unreadable(Exception):
    """The file violates the form (section 10): it has no verdict."""


def need(true: bool, reason: str) -> None:
    if not true:
        raise Unreadable(reason)


@dataclass(frozen=True)
class Tensor:
    dtype: str
    shape: tuple[int, ...]
    values: tuple[float, ...]

    def binary64(self) -> bytes:
        """What digests read (sections 4 and 9)."""
        return struct.pack(f"<{len(self.values)}d", *self.values)

    def vector(self) -> Vector:
        return [Fraction(value) for value in self.values]

    def rows(self) -> list[Vector]:
        vector, width = self.vector(), self.shape[-1]
        return [vector[i : i + width] for i in range(0, len(vector), width)]


@dataclass
class Tensors:
    """The tensors of a file; what the text names is taken, and nothing may be left (section 2)."""

    left: dict[str, Tensor]
    taken: dict[str, Tensor] = field(default_factory=dict)

    def take(self, name: str, *shape: int | None) -> Tensor:
        """The tensor of this name and shape; None is any size."""
        need(name in self.left, f"{name} is missing")
        tensor = self.taken[name] = self.left.pop(name)
        fits = len(shape) == len(tensor.shape) and all(a in (None, b) for a, b in zip(shape, tensor.shape, strict=True))
        need(fits, f"{name}: shape {tensor.shape}, not {shape}")
        return tensor


def strict_json(text: str) -> Any:
    """Section 2: one object, only spaces behind it, no repeated keys, natural numbers, no literals, depth 8, text."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "an object has a repeated key")
        return dict(pairs)

    def whole(digits: str) -> int:
        need(digits.isdigit() and len(digits) <= 16 and int(digits) < MAX_INTEGER, f"the number {digits[:20]}")
        return int(digits)

    def refuse(number: str) -> None:
        raise Unreadable(f"the number {number[:20]}")

    need(text.startswith("{") and text.rstrip(" ").endswith("}"), "JSON that is not one object and spaces")
    try:
        thing = json.loads(text, object_pairs_hook=unique, parse_int=whole, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"JSON: {error}") from error
    level, depth = [thing], 0
    while level:
        need(not any(item is None or isinstance(item, bool) for item in level), "true, false or null")
        need(all(scalar_values(item) for item in level if isinstance(item, str)), "a surrogate in a string")
        level = [item for item in level if isinstance(item, dict | list)]
        depth += bool(level)
        need(depth <= MAX_DEPTH, "objects and lists nest too deep")
        level = [child for item in level for child in ([*item, *item.values()] if isinstance(item, dict) else item)]
    return thing


def scalar_values(text: str) -> bool:
    """Section 2: is it a sequence of Unicode scalar values? A lone surrogate is none."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_container(file: Path) -> tuple[Any, Tensors]:
    """Section 2: the body and the tensors of one file."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Unreadable(str(error)) from error
    need(8 <= len(data) <= MAX_FILE, f"{len(data)} bytes")
    start = 8 + int.from_bytes(data[:8], "little")
    need(start <= 8 + MAX_HEADER and start <= len(data), f"a header of {start - 8} bytes")
    try:
        header = strict_json(data[8:start].decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable("the header is not UTF-8") from error
    body = fields(header.pop("__metadata__", None), ["refcert"])["refcert"]
    need(isinstance(body, str), "`refcert` is not a string")
    for name, entry in header.items():
        fields(entry, ["dtype", "shape", "data_offsets"])
        need(re.fullmatch(r"[A-Za-z0-9_.]{1,64}", name) is not None, f"a tensor's name {name!r}")
        need(isinstance(entry["dtype"], str) and entry["dtype"] in DTYPES, f"{name}: dtype {entry['dtype']}")
        need(1 <= len(naturals(entry["shape"])) <= 3 and all(entry["shape"]), f"{name}: shape {entry['shape']}")
        need(len(naturals(entry["data_offsets"])) == 2, f"{name}: offsets {entry['data_offsets']}")
    tensors, end, raw = {}, 0, data[start:]
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        width, code = DTYPES[entry["dtype"]]
        need(begin == end and stop <= len(raw), f"{name}: not behind the tensor before")
        need(stop - begin == math.prod(entry["shape"]) * width, f"{name}: offsets {begin}, {stop}")
        part, end = raw[begin:stop], stop
        if entry["dtype"] == "BF16":  # the upper half of a binary32 number
            part = b"".join(b"\0\0" + part[i : i + 2] for i in range(0, len(part), 2))
        values = tuple(value for (value,) in struct.iter_unpack("<" + code, part))
        need(all(map(math.isfinite, values)), f"{name}: a number that is not finite")
        tensors[name] = Tensor(entry["dtype"], tuple(entry["shape"]), values)
    need(end == len(raw), "bytes behind the last tensor")
    return strict_json(body), Tensors(tensors)


def fields(thing: Any, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """An object with exactly these keys."""
    need(isinstance(thing, dict), f"{str(thing)[:40]} is not an object")
    need({*required} <= thing.keys() <= {*required, *optional}, f"keys {sorted(thing)}, not {sorted(required)}")
    return thing


def kind_of(thing: Any, kinds: dict[str, list[str]], optional: dict[str, list[str]]) -> str:
    """The `kind` of an object that has this kind's keys."""
    kind = thing.get("kind") if isinstance(thing, dict) else None
    need(isinstance(kind, str) and kind in kinds, f"kind {kind} is none of {sorted(kinds)}")
    fields(thing, ["kind", *kinds[kind]], optional.get(kind, []))
    return kind


def natural(thing: Any, low: int, high: int) -> int:
    """An integer from low to high - 1."""
    need(isinstance(thing, int) and low <= thing < high, f"{str(thing)[:40]} is not in {low} .. {high - 1}")
    return thing


def naturals(thing: Any, high: int = MAX_INTEGER) -> list[int]:
    need(isinstance(thing, list), f"{str(thing)[:40]} is not a list")
    return [natural(item, 0, high) for item in thing]


def rising(thing: Any, high: int) -> list[int]:
    need(naturals(thing, high) == sorted(set(thing)), f"{thing} does not increase strictly")
    return thing


def number(text: Any) -> Fraction:
    """Section 2: a binary64 number as float.hex writes it, and in no other way."""
    need(isinstance(text, str), f"{str(text)[:40]} is not a string")
    form = r"-?0x1\.[0-9a-f]{13}p[+-][0-9]{1,4}|-?0x0\.[0-9a-f]{13}p-1022|0x0\.0p\+0"
    need(re.fullmatch(form, text) is not None, f"the number {text[:40]!r}")
    try:
        need(float.fromhex(text).hex() == text, f"the number {text!r}")
    except OverflowError as error:
        raise Unreadable(f"{text} is not finite") from error
    return Fraction(float.fromhex(text))


def digest(text: Any) -> str:
    need(isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) is not None, f"{str(text)[:70]} is no digest")
    return text
