"""Corruptions of bytes, of JSON and of the container's header."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

from tests.certificates.corrupting.work import Bytes, Work


def nothing_to_change(work: Work) -> None:
    """Where a kind finds nothing of its own: a bit."""
    flip_anywhere(work)


# Bytes


def flipped(draw: random.Random, first: Callable[[bytes], int], last: Callable[[bytes], int]) -> Bytes:
    """Flip one to four bits of the bytes in this range."""

    def flip(whole: bytes) -> bytes:
        low, high = first(whole), last(whole)
        if low >= high:
            return whole
        changed = bytearray(whole)
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            changed[draw.randrange(low, high)] ^= 1 << draw.randrange(8)
        return bytes(changed)

    return flip


def body_start(whole: bytes) -> int:
    return 8 + int.from_bytes(whole[:8], "little")


def flip_anywhere(work: Work) -> None:
    work.draft.data = flipped(work.draw, lambda whole: 0, len)


def flip_in_header(work: Work) -> None:
    work.draft.data = flipped(work.draw, lambda whole: 8, body_start)


def flip_in_data(work: Work) -> None:
    work.draft.data = flipped(work.draw, body_start, len)


def flip_in_network(work: Work) -> None:
    if work.draft.file is None:
        nothing_to_change(work)
    work.network_data = flipped(work.draw, lambda whole: 0, len)


def cut_or_extend(work: Work) -> None:
    """The end is missing, something follows, or a part in the middle is missing, doubled or overwritten."""
    draw = work.draw

    def change(whole: bytes) -> bytes:
        at, size = draw.randrange(len(whole)), draw.choice((1, 2, 8, 64, 1000))
        noise = draw.choice((b"\0", b"\xff", b" ", b"{", draw.randbytes(1))) * size
        return draw.choice(
            (
                whole[:at],
                whole[: max(0, len(whole) - size)],
                whole + noise,
                whole[:at] + whole[at + size :],
                whole[:at] + noise + whole[at:],
                whole[:at] + noise + whole[at + size :],
                whole[:at] + whole[max(0, at - size) :],
                whole[:at] + whole,
                b"",
            )
        )

    if work.draft.file is not None and draw.random() < 0.2:
        work.network_data = change
    else:
        work.draft.data = change


def header_length(work: Work) -> None:
    def change(whole: bytes) -> bytes:
        old = int.from_bytes(whole[:8], "little")
        near = old + work.draw.choice((-9, -8, -2, -1, 1, 2, 8, 9, 16))
        new = work.draw.choice((near, near, near, 0, 1, 2, len(whole) - 8, len(whole), 2**24, 2**32, 2**63, 2**64 - 1))
        return struct.pack("<Q", max(0, new)) + whole[8:]

    work.draft.data = change


# JSON

FRAGMENTS = (
    *('"', "'", "\\", "{", "}", "[", "]", ",", ":", " ", "\n", "\t", "\0", "\x1b[2J", "\x7f", "é", "\ufeff", "\u2028"),
    *(
        "null",
        "true",
        "false",
        "NaN",
        "Infinity",
        "-1",
        "-0",
        "0.5",
        "1e3",
        "01",
        "0x10",
        "9" * 16,
        "9" * 17,
        "9" * 5000,
    ),
    *('"\\ud800"', '"\\u0000"', "/*", "[" * 9, "[" * 100_000, '{"a":' * 50_000, '"' + "\\\\" * 999, "é" * 64),
)
WEIRD = (
    *(0, 1, 2, 7, 8, 2**31, 2**53 - 1, 2**53, 10**400, -1, 0.5, math.nan, math.inf, True, None),
    *("", "0", "inf", "nan", "../x", "\ud800", "\0", [], [0], [[[[[[[[0]]]]]]]], {}, {"kind": 0}, {"rule": "margin"}),
    *("0x0.0p+0", "-0x0.0p+0", "0x1.0000000000000p+1024", "0x0.0000000000001p-1022", "0x1.fffffffffffffp+1023"),
)


def damage_json(work: Work) -> None:
    """Characters deleted, put in, doubled or exchanged, in the body or in the header."""
    draw = work.draw

    def change(text: str) -> str:
        for _ in range(draw.choice((1, 1, 2))):
            at, end = sorted((draw.randrange(len(text)), draw.randrange(len(text))))
            end = min(end, at + draw.choice((1, 3, 20)))
            put = draw.choice(FRAGMENTS)
            text = draw.choice(
                (
                    text[:at] + text[end:],
                    text[:at] + put + text[at:],
                    text[:at] + put + text[end:],
                    text[:end] + text[at:],
                    text.replace(text[at : at + 1], put, 1),
                )
            )
            if not text:
                return ""
        return text

    setattr(work.draft, draw.choice(("text", "header")), change)


def header_entries(work: Work) -> None:
    """Types, shapes, offsets and names of tensors: huge, negative, overlapping, exchanged."""
    draw = work.draw

    def change(text: str) -> str:
        header = json.loads(text)
        names = [name for name in header if name != "__metadata__"]
        one, other = draw.choice(names), draw.choice(names)
        how = draw.randrange(7)
        if how == 0:
            header[one]["dtype"] = draw.choice(("F64", "F32", "F16", "BF16", "I64", "BOOL", "", "f64"))
        elif how == 1:
            shape = header[one]["shape"]
            shape[draw.randrange(len(shape))] = draw.choice((0, 1, 2, 2**31, 2**53 - 1, 2**60, -1, "2", [2], 2.0))
        elif how == 2:
            header[one]["shape"] = draw.choice(
                (shape_of(header[one])[::-1], [math.prod(shape_of(header[one]))], [], [1, *shape_of(header[one])], "2")
            )
        elif how == 3:
            begin, end = header[one]["data_offsets"]
            header[one]["data_offsets"] = draw.choice(
                (
                    [begin + 8, end + 8],
                    [end, begin],
                    [begin, end + 8],
                    [0, 2**53 - 1],
                    [2**52, 2**52 + end - begin],
                    [begin],
                )
            )
        elif how == 4:  # two tensors change places
            header[one], header[other] = header[other], header[one]
        elif how == 5:
            name = draw.choice(
                ("../x", "a" * 65, "", "__proto__", "step.99", "network.x", "é", "rows.C", "center", "s\n")
            )
            header[name] = header.pop(one)
        else:
            header[one][draw.choice(("dtype", "shape", "data_offsets", "extra"))] = draw.choice(WEIRD)
        return json.dumps(header)

    work.draft.header = change


def shape_of(entry: dict[str, Any]) -> list[int]:
    return list(entry["shape"])
