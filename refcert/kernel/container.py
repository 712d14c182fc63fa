"""Strict reader of the container: a safetensors file with one JSON body (certificate_v1.md, sections 2 and 10).

Nothing is allocated before its size was checked, nothing is executed, and JSON's nesting is known before it is parsed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import struct
import sys
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from refcert.kernel.errors import UnreadableError

MAX_FILE: Final = 1 << 30
MAX_HEADER: Final = 1 << 24
MAX_DEPTH: Final = 8
MAX_INTEGER: Final = 1 << 53

# Bytes a number, by its type; the narrow ones only where weights are read.
WIDTHS: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
CERTIFICATE_TYPES: Final = ("F64", "F32")

_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")
_NUMBER: Final = re.compile(r"-?0x(?:1\.[0-9a-f]{13}p[+-][0-9]{1,4}|0\.[0-9a-f]{13}p-1022)|0x0\.0p\+0")
# A string, whether it ends or not, or a bracket; never looks at a byte twice.
_PIECES: Final = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Table:
    """A tensor: its shape and its values, row-major, as floats that hold them exactly."""

    shape: tuple[int, ...]
    values: array[float]

    def row(self, k: int) -> array[float]:
        """Row k of a tensor with two axes."""
        size = self.shape[1]
        return self.values[k * size : (k + 1) * size]

    def digest(self) -> str:
        """SHA-256 of the values as little-endian binary64 numbers."""
        return hashlib.sha256(little_endian(self.values)).hexdigest()


@dataclass(frozen=True, slots=True)
class Container:
    """body: the JSON object; tensors by name."""

    body: dict[str, Any]
    tensors: dict[str, Table]


def read_bytes(path: Path, most: int = MAX_FILE) -> bytes:
    """The content of a regular file that is no link and not larger than `most`. Raises UnreadableError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (OSError, ValueError) as error:
        raise UnreadableError(
            f"{path.name} cannot be read ({error}); it must be a file, links are not followed"
        ) from error
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise UnreadableError(f"{path.name} is no regular file; give a certificate file")
        if state.st_size > most:
            raise UnreadableError(f"{path.name} has {state.st_size} bytes; at most {most} are read")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(state.st_size)
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read ({error})") from error
    finally:
        os.close(descriptor)


def parse_container(data: bytes, types: Iterable[str] = CERTIFICATE_TYPES) -> Container:
    """The container in these bytes; types: those that its tensors may have. Raises UnreadableError."""
    if len(data) < 8:
        raise UnreadableError(
            f"the file has {len(data)} bytes; a safetensors file begins with 8 for its header's length"
        )
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
        raise UnreadableError(f"the header's length is {length}; it must lie in the file and be at most {MAX_HEADER}")
    text = data[8 : 8 + length]
    header = parse_json(text, "the header")
    meta = header.pop("__metadata__", None)
    if not isinstance(meta, dict) or list(meta) != ["refcert"] or not isinstance(meta["refcert"], str):
        raise UnreadableError("__metadata__ must hold the one string `refcert`")
    body = parse_json(meta["refcert"].encode(), "the body")
    return Container(body, _tensors(header, data, 8 + length, tuple(types)))


def parse_json(text: bytes, what: str) -> dict[str, Any]:
    """One JSON object of objects, lists, strings and whole numbers. Raises UnreadableError."""
    text = text.rstrip(b" ")
    if text[:1] != b"{" or text[-1:] != b"}":
        raise UnreadableError(f"{what} must begin with '{{' and end with '}}'")
    depth = deepest = 0
    for piece in _PIECES.findall(text):
        if piece[:1] != b'"':
            depth += 1 if piece in b"{[" else -1
            deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise UnreadableError(f"{what} nests {deepest} deep; at most {MAX_DEPTH} is allowed")
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        _require_plain(value)
    except (ValueError, RecursionError) as error:  # JSONDecodeError, UnicodeError and UnreadableError are ValueErrors
        raise UnreadableError(f"{what} is not JSON as it must be: {error}") from error
    assert isinstance(value, dict)  # nothing else begins with '{'
    return value


def number(value: object, what: str) -> float:
    """The float that a string of the body stands for. Raises UnreadableError."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise UnreadableError(f"{what} is {shown(value)}; numbers are written as 0x1.8000000000000p-3")
    try:
        found = float.fromhex(value)
    except OverflowError:
        found = math.inf
    if found.hex() != value:  # infinite, too small, or with superfluous zeros
        raise UnreadableError(f"{what} is {shown(value)}, which is no binary64 number in its one form")
    return found


def shaped(tensors: Mapping[str, Table], name: str, shape: tuple[int | None, ...], what: str) -> Table:
    """The tensor of this name, if it has this shape, where None stands for any size. Raises UnreadableError."""
    table = tensors.get(name)
    if table is None:
        raise UnreadableError(f"the {what} {name} is missing")
    if len(table.shape) != len(shape) or any(
        wanted not in (None, found) for found, wanted in zip(table.shape, shape, strict=True)
    ):
        needed = ", ".join("any" if n is None else str(n) for n in shape)
        raise UnreadableError(f"the {what} {name} has shape {table.shape}; it needs ({needed})")
    return table


def require_keys(value: object, needed: Iterable[str], what: str, optional: Iterable[str] = ()) -> dict[str, Any]:
    """The value, if it is an object with just these keys. Raises UnreadableError."""
    needed, optional = set(needed), set(optional)
    if not isinstance(value, dict) or not needed <= set(value) <= needed | optional:
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise UnreadableError(f"{what} has {shown(found)}; it needs the keys {', '.join(sorted(needed))}")
    return value


def whole(value: object, low: int, high: int, what: str) -> int:
    """The value, if it is a whole number from low to high. Raises UnreadableError."""
    if type(value) is not int or not low <= value <= high:
        raise UnreadableError(f"{what} is {shown(value)}; it must be a whole number from {low} to {high}")
    return value


def shown(value: object) -> str:
    """The value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def little_endian(values: array[float]) -> bytes:
    """The bytes of the values as little-endian binary64 numbers."""
    if sys.byteorder == "big":  # pragma: no cover
        values = array("d", values)
        values.byteswap()
    return values.tobytes()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableError("a key is repeated")
    return found


def _whole(text: str) -> int:
    if len(text) > 16 or int(text) >= MAX_INTEGER or text[0] == "-":
        raise UnreadableError(f"the number {text[:20]} is negative or too large")
    return int(text)


def _refuse_number(text: str) -> float:
    raise UnreadableError(f"the number {text[:20]} is not a whole one")


def _require_plain(value: object) -> None:
    """Only objects, lists, strings and whole numbers; strings that are text."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, str):
            one.encode()  # a lone surrogate is no text
        elif type(one) is not int:
            raise UnreadableError(f"{one!r} stands where a string or a number must be")


def _tensors(header: dict[str, Any], data: bytes, start: int, types: tuple[str, ...]) -> dict[str, Table]:
    places = []
    for name, entry in header.items():
        if not _NAME.fullmatch(name):
            raise UnreadableError(f"a tensor is named {shown(name)}; names have 1 to 64 of A-Z a-z 0-9 _ .")
        entry = require_keys(entry, ("dtype", "shape", "data_offsets"), f"tensor {name}")
        shape, offsets, kind = entry["shape"], entry["data_offsets"], entry["dtype"]
        allowed = tuple(WIDTHS) if name.startswith("network.") else types
        if kind not in allowed:
            raise UnreadableError(f"tensor {name} is {shown(kind)}; it may be {', '.join(allowed)}")
        if not isinstance(shape, list) or not 1 <= len(shape) <= 3 or not all(type(n) is int and n > 0 for n in shape):
            raise UnreadableError(f"tensor {name} has shape {shown(shape)}; it needs 1 to 3 positive sizes")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(n) is int for n in offsets):
            raise UnreadableError(f"tensor {name} has offsets {shown(offsets)}; it needs [begin, end]")
        if offsets[1] - offsets[0] != math.prod(shape) * WIDTHS[kind]:
            raise UnreadableError(f"tensor {name}: offsets {offsets} do not fit shape {shape} of {kind}")
        places.append((offsets[0], offsets[1], name, kind, tuple(shape)))
    end, tensors = 0, {}
    for begin, stop, name, kind, shape in sorted(places):
        if begin != end or start + stop > len(data):
            raise UnreadableError(f"tensor {name} begins at {begin}, not at {end}, or ends behind the file")
        tensors[name] = Table(shape, _floats(name, data[start + begin : start + stop], kind))
        end = stop
    if start + end != len(data):
        raise UnreadableError(f"{len(data) - start - end} bytes behind the last tensor belong to none")
    return tensors


def _floats(name: str, raw: bytes, kind: str) -> array[float]:
    """The numbers as floats; every one of these types is exact in binary64."""
    if kind == "F16":
        values = array("d", (value for (value,) in struct.iter_unpack("<e", raw)))
    else:
        if kind == "BF16":  # the upper half of a float32
            whole = bytearray(2 * len(raw))
            whole[2::4], whole[3::4] = raw[::2], raw[1::2]
            raw = bytes(whole)
        found = array("d" if kind == "F64" else "f", raw)
        if sys.byteorder == "big":  # pragma: no cover
            found.byteswap()
        values = array("d", found)
    if not all(map(math.isfinite, values)):
        place = next(k for k, value in enumerate(values) if not math.isfinite(value))
        raise UnreadableError(f"number {place} of tensor {name} is {values[place]}; every number must be finite")
    return values
