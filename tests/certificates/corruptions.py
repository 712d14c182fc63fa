"""Random corruptions of honest certificates: what is done to them, each kind one function.

A kind changes a `Work`: the draft, the bytes that come of it, the folder that they are written to. `signed` kinds
change what is claimed, or what it rests on: half of them are signed again (the digests fit what has become of the
file), and a part of those is `forged`: the margin is raised to the very number that the changed steps give.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.certificates.corruption_seeds import CERTIFICATE, Seed
from tests.certificates.tiny_certificates import Array, Draft, encode

Bytes = Callable[[bytes], bytes]


@dataclass
class Work:
    """One corruption in the making. network_data: what is done to the network's bytes; folder: to the files."""

    seed: Seed
    others: Sequence[Seed]
    draft: Draft
    draw: random.Random
    network_data: Bytes = bytes
    folder: Callable[[Path], None] | None = None
    seconds: float | None = None

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.draft.body["steps"]

    def tables(self, *prefixes: str) -> list[Array]:
        """The tensors whose names begin so, in the certificate and in the network's file (as `network.`)."""
        named = {f"network.{name}": table for name, table in (self.draft.file or {}).items()} | self.draft.tensors
        return [table for name, table in named.items() if name.startswith(prefixes)]

    def files(self) -> dict[str, bytes]:
        """What is written, by name."""
        draft = self.draft
        files = {CERTIFICATE: draft.data(encode(draft.body, draft.tensors, draft.text, draft.header))}
        if draft.file is not None:
            (name,) = list(self.seed.files)[1:]
            files[name] = self.network_data(encode(draft.file_body, draft.file))
        return files


Change = Callable[[Work], None]


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


# Fields of the body


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of the JSON value with each of its keys."""
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def swap_fields(work: Work) -> None:
    """Two values of the body change places, mostly two of a kind."""
    spots = places(work.draft.body)
    a, i = work.draw.choice(spots)
    alike = [(b, j) for b, j in spots if type(b[j]) is type(a[i]) and (b, j) != (a, i) and b[j] != a[i]]
    b, j = work.draw.choice(alike if alike and work.draw.random() < 0.8 else spots)
    a[i], b[j] = copy.deepcopy(b[j]), copy.deepcopy(a[i])


def change_field(work: Work) -> None:
    """A value becomes another one, is missing, stands under another key, or has something beside it."""
    draw = work.draw
    holder, key = draw.choice(places(work.draft.body))
    how = draw.randrange(6)
    if how == 0:
        del holder[key]
    elif how == 1 and isinstance(holder, dict):
        holder[
            draw.choice(("", "of", "sets", "part", "clip", "moves", "label", "file", "structure", "é", key + " "))
        ] = 0
    elif how == 2 and type(holder[key]) is int:
        holder[key] = max(0, holder[key] + draw.choice((-1, 1, 2, 8)))
    elif how == 3 and isinstance(holder[key], str) and holder[key]:
        text = holder[key]
        at = draw.randrange(len(text))
        holder[key] = (
            text[:at] + draw.choice(("", "0", "1", "f", "|", ">", "/", "relu/", text[at] * 2)) + text[at + 1 :]
        )
    elif how == 4 and isinstance(holder[key], list) and holder[key]:
        holder[key] = draw.choice((holder[key][::-1], holder[key][:-1], holder[key] * 2, holder[key][0]))
    else:
        holder[key] = copy.deepcopy(draw.choice(WEIRD))


# Steps


def tables_of_steps(work: Work) -> list[Array | None]:
    return [work.draft.tensors.pop(f"step.{k}", None) for k in range(len(work.steps))]


def put_back(work: Work, tables: list[Array | None]) -> None:
    work.draft.tensors.update({f"step.{k}": table for k, table in enumerate(tables) if table is not None})


def reorder_steps(work: Work) -> None:
    draw, tables = work.draw, tables_of_steps(work)
    together = list(zip(work.steps, tables, strict=True))
    how = draw.randrange(4)
    a, b = draw.randrange(len(together)), draw.randrange(len(together))
    if how == 0:
        together[a], together[b] = together[b], together[a]
    elif how == 1:
        together.insert(b, together.pop(a))
    elif how == 2:
        draw.shuffle(together)
    elif how == 3 and len(together) > 1:
        a = draw.randrange(len(together) - 1)
        together[a], together[a + 1] = together[a + 1], together[a]
    work.steps[:] = [step for step, _ in together]
    put_back(work, [table for _, table in together])


def remove_step(work: Work) -> None:
    tables = tables_of_steps(work)
    for _ in range(min(work.draw.choice((1, 1, 2, 5)), len(tables) - 1)):
        k = work.draw.randrange(len(tables))
        del work.steps[k], tables[k]
    put_back(work, tables)


def repeat_step(work: Work) -> None:
    """A step stands twice, perhaps with another number in the copy."""
    tables = tables_of_steps(work)
    k = work.draw.randrange(len(tables))
    at = work.draw.choice((k, k + 1, work.draw.randrange(len(tables) + 1)))
    step = copy.deepcopy(work.steps[k])
    if "set" in step and work.draw.random() < 0.5:
        step["set"] = (step["set"] + 1) % 8
    work.steps.insert(at, step)
    tables.insert(at, copy.deepcopy(tables[k]))
    put_back(work, tables)


def change_step(work: Work) -> None:
    """Another rule, variable, part or set."""
    draw, step = work.draw, work.draw.choice(work.steps)
    rules = ("planes", "box.interval", "box.substitution", "box.intersection", "margin", "margin.per_class", "magic")
    if draw.random() < 0.3:
        step["rule"] = draw.choice(rules)
        wanted = {"planes": ("of", "part", "set"), "box.interval": ("of",)}.get(step["rule"], ("of", "sets"))
        wanted = ("sets",) if step["rule"].startswith("margin") else wanted
        for key in ("of", "part", "set", "sets"):
            if key in wanted:
                step.setdefault(key, [0] if key == "sets" else 0)
            else:
                step.pop(key, None)
        return
    key = draw.choice([key for key in step if key != "rule"])
    if key == "sets":
        step["sets"] = sorted(set(draw.choices(range(9), k=draw.choice((0, 1, 2, 3)))))
    else:
        step[key] = max(0, draw.choice((step[key] - 1, step[key] + 1, 0, draw.randrange(9), draw.randrange(40))))


# Numbers


def place_of(work: Work, *prefixes: str) -> tuple[Array, int] | None:
    """A tensor and a position in it, at random; tensors of steps, of the claim or of the network."""
    found = work.tables(*prefixes)
    if not found:
        return None
    table = work.draw.choice(found)
    return table, work.draw.randrange(len(table.values))


def put(table: Array, position: int, value: float) -> None:
    """Write a number; the tensor gets the type that holds all."""
    table.values[position] = value
    table.dtype = "F64"


def ulp(draw: random.Random, value: float) -> float:
    return math.nextafter(value, draw.choice((-math.inf, math.inf)))


SPECIAL = (
    *(0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 2.0**-1022, 2.0**-200, 1e-30, 1e30, 1e154, 1e300),
    *(1.7976931348623157e308, -1.7976931348623157e308, math.nan, math.inf, -math.inf),
)


def moved(draw: random.Random, value: float) -> float:
    """A number near this one, or far from it."""
    how = draw.randrange(8)
    if how <= 2:
        return ulp(draw, value)
    if how <= 5:
        return value + draw.choice((-1, 1)) * 10.0 ** draw.randint(-16, 1) * max(abs(value), 1e-3)
    return -value if how == 6 else draw.choice(SPECIAL)


def change_number(work: Work) -> None:
    """Any number of a step, near or far."""
    for _ in range(work.draw.choice((1, 1, 3))):
        table, k = place_of(work, "step.") or (None, 0)
        if table is None:
            return
        if work.draw.random() < 0.1:
            table.values, table.dtype = [work.draw.choice(SPECIAL) for _ in table.values], "F64"
        else:
            put(table, k, moved(work.draw, table.values[k]))


def inward_rows(step: dict[str, Any], table: Array) -> list[tuple[int, int]]:
    """Rows of a step's tensor that bound something, and the way inward: lower offsets and ends up, upper ones down."""
    if step["rule"] == "planes":
        lower, upper = {4: (1, 3), 5: (2, 4), 6: (2, 5)}[table.shape[0]]
        return [(lower, 1), (upper, -1)]
    return [(0, 1), (1, -1)]


def tighten(work: Work) -> None:
    """An offset of a plane or an end of a box moves inward: by one place in the last digit, or by far more."""
    with_tables = [(s, work.draft.tensors[f"step.{k}"]) for k, s in enumerate(work.steps) if s["rule"][:6] != "margin"]
    if not with_tables:
        return nothing_to_change(work)
    steps = with_tables if work.draw.random() < 0.1 else [work.draw.choice(with_tables)]
    share = work.draw.choice((0, 0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1.0))
    for step, table in steps:
        units = table.shape[1]
        for row, way in work.draw.choice((inward_rows(step, table), [work.draw.choice(inward_rows(step, table))])):
            some = range(units) if work.draw.random() < 0.3 else [work.draw.randrange(units)]
            for unit in some:
                old = table.values[row * units + unit]
                new = math.nextafter(old, way * math.inf) if share == 0 else old + way * share * max(abs(old), 0.01)
                put(table, row * units + unit, new)
    return None


def swap_numbers(work: Work) -> None:
    """Rows or units of a step's tensor, or whole tensors of steps, change places."""
    draw, tables = work.draw, [t for t in work.tables("step.") if len(t.shape) == 2]
    if not tables:
        return nothing_to_change(work)
    table = draw.choice(tables)
    grid = np.array(table.values).reshape(table.shape)
    how = draw.randrange(4)
    if how == 0:
        grid[[*range(len(grid))]] = grid[draw.sample(range(len(grid)), len(grid))]
    elif how == 1:
        a, b = draw.randrange(len(grid)), draw.randrange(len(grid))
        grid[[a, b]] = grid[[b, a]]
    elif how == 2:
        a, b = draw.randrange(grid.shape[1]), draw.randrange(grid.shape[1])
        grid[:, [a, b]] = grid[:, [b, a]]
    else:
        other = draw.choice([t for t in tables if t.shape == table.shape])
        table.values, other.values = other.values, table.values
        table.dtype = other.dtype = "F64"
        return None
    table.values, table.dtype = grid.ravel().tolist(), "F64"
    return None


# The claim


def change_margin(work: Work) -> None:
    body, draw = work.draft.body, work.draw
    margin = float.fromhex(body["margin"])
    new = draw.choice((moved(draw, margin), math.nextafter(margin, math.inf), margin * (1 + 1e-6), 2 * margin))
    body["margin"] = new.hex()


def change_inputs(work: Work) -> None:
    """Another centre, radius, end, candidate, norm, range, or kind of set; mostly one of them, sometimes several."""
    for _ in range(work.draw.choice((1, 1, 1, 2, 4))):
        change_input(work)


def change_input(work: Work) -> None:
    draw, inputs = work.draw, work.draft.body["inputs"]
    tables = work.tables("center", "radius", "lower", "upper", "candidates")
    how = draw.randrange(10)
    if how <= 4:
        table = draw.choice(tables)
        for k in range(len(table.values)) if draw.random() < 0.3 else [draw.randrange(len(table.values))]:
            put(table, k, moved(draw, table.values[k]))
    elif how == 5 and "p" in inputs:
        p = draw.choice((1.0, 1.5, 2.0, 3.0, 1 + 2.0**-52, 0.5, 1e300, 7.25))
        inputs["p"] = draw.choice(("inf", p.hex()))
    elif how == 6 and "radius" in work.draft.tensors:
        cut_at(work)
    elif how == 7 and "radius" in work.draft.tensors:
        time = work.draft.tensors["center"].shape[0]
        if inputs["kind"] == "frame_balls":
            radius = work.draft.tensors["radius"]
            radius.shape, radius.values = (1,), radius.values[:1]
            inputs["kind"] = "sequence_ball"
        inputs["moves"] = sorted(draw.sample(range(time), draw.randint(0, time)))
    elif how == 8 and "counts" in inputs:
        draw.shuffle(inputs["counts"])
    else:
        table = draw.choice(tables)  # frames change places, or one more stands behind them
        if draw.random() < 0.5 and len(table.shape) == 2:
            rows = [table.values[k : k + table.shape[1]] for k in range(0, len(table.values), table.shape[1])]
            draw.shuffle(rows)
            table.values = [x for row in rows for x in row]
        else:
            first = table.values[: table.shape[-1]] if len(table.shape) == 2 else table.values[:1]
            table.values = table.values + first
            table.shape = (table.shape[0] + 1, *table.shape[1:])


def cut_at(work: Work) -> None:
    """Another range, mostly one with the centre on its border, perhaps with a radius and a norm that are extreme."""
    draw, inputs, tensors = work.draw, work.draft.body["inputs"], work.draft.tensors
    center, radius = tensors["center"].values, tensors["radius"]
    wide = [1 + max(map(abs, center)), 1e300, 1.0]
    low, high = draw.choice(((min(center), max(center)), (-draw.choice(wide), draw.choice(wide))))
    inputs["clip"] = [float(low).hex(), float(high).hex()]
    if draw.random() < 0.3:
        del inputs["clip"]
    if draw.random() < 0.5:
        inputs["p"] = draw.choice((1.0, 1.5, 2.0, 2.5, 1 + 2.0**-52, 1e300)).hex()
        for k in range(len(radius.values)):
            put(radius, k, draw.choice((0.0, 5e-324, 2.0**-1000, 2.0**-200, 2.0**-60, 1e-9, 1.0, 1e300)))


def change_question(work: Work) -> None:
    """Another label, target, k, row, or kind of specification."""
    draw, body = work.draw, work.draft.body
    asked = body["specification"]
    rows = work.tables("rows.")
    if rows and draw.random() < 0.7:
        table = draw.choice(rows)
        k = draw.randrange(len(table.values))
        put(table, k, moved(draw, table.values[k]))
        return
    small = [0, 1, 2, 3]
    if draw.random() < 0.5 and asked["kind"] != "rows":
        for key in ("label", "target", "k"):
            if key in asked:
                asked[key] = draw.choice(small)
        if "labels" in asked:
            asked["labels"] = [draw.choice(small[:3]) for _ in asked["labels"]]
        return
    label = asked.get("label", 1)
    body["specification"] = draw.choice(
        (
            {"kind": "untargeted", "label": label},
            {"kind": "targeted", "label": label, "target": draw.choice(small)},
            {"kind": "top_k", "label": label, "k": draw.choice(small)},
            {"kind": "untargeted_steps", "labels": [1] * draw.choice(small)},
            {"kind": "rows"},
        )
    )


# The network


def change_weights(work: Work) -> None:
    """Weights move by one place or far, or change places."""
    draw = work.draw
    for _ in range(draw.choice((1, 1, 2, 10))):
        table, k = place_of(work, "network.") or (None, 0)
        if table is None:
            return
        if draw.random() < 0.2:
            j = draw.randrange(len(table.values))
            table.values[k], table.values[j] = table.values[j], table.values[k]
        elif draw.random() < 0.1:
            scale = 2.0 ** draw.choice((-1000, -500, -60, -1, 1, 60, 500, 1000))
            table.values, table.dtype = [scale * x for x in table.values], "F64"
        else:
            put(table, k, moved(draw, table.values[k]))


def change_structure(work: Work) -> None:
    """Another cell, direction, readout or activation."""
    draw, draft = work.draw, work.draft
    words = {
        "rnn_tanh": ("rnn_relu", "rnn_sigmoid"),
        "rnn_relu": ("rnn_tanh", "rnn_sigmoid"),
        "rnn_sigmoid": ("rnn_tanh", "rnn_relu"),
        "gru_reset_before": ("gru", "lstm"),
        "gru>": ("gru_reset_before>", "gru<"),
        "gru<": ("gru_reset_before<", "gru>"),
        "lstm": ("gru",),
        ">": ("<",),
        "<": (">",),
        "final": ("last_frame", "mean", "max", "every"),
        "last_frame": ("final", "mean", "max"),
        "mean": ("max", "final"),
        "max": ("mean", "final"),
        "every": ("final", "last_frame"),
        "|dense": ("|relu/dense", "|tanh/dense", "|sigmoid/dense"),
        "relu/": ("tanh/", "", "relu/relu/"),
        "tanh/": ("relu/", "sigmoid/"),
    }
    word = draw.choice([word for word in words if word in draft.structure])
    draft.structure = draft.structure.replace(word, draw.choice(words[word]), draw.choice((1, -1)))
    if draft.file is None:
        draft.body["network"]["structure"] = draft.structure
    else:
        draft.file_body["structure"] = draft.structure


def other_network(work: Work) -> None:
    """The weights of another certificate's network, or none at all."""
    draw, draft = work.draw, work.draft
    other = draw.choice(work.others).copy()
    if draft.file is None or draw.random() < 0.2:
        name = draw.choice([name for name in draft.tensors if name.startswith("network.")] or ["center"])
        draft.tensors.pop(name, None)
    elif other.file is not None:
        draft.file, draft.file_body = other.file, other.file_body
        draft.weights, draft.structure = other.weights, other.structure
    else:
        change_weights(work)


# The folder

HOSTILE = (
    "../network.safetensors",
    "/etc/passwd",
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a\0b",
    "x" * 256,
    ".hidden",
    "é",
    "nul\n",
)


def hostile_name(work: Work) -> None:
    """The network's file has a name that leads elsewhere, or is no regular file."""
    draw, network = work.draw, work.draft.body["network"]
    if "file" not in network or draw.random() < 0.3:
        network.pop("structure", None)
        network["file"] = draw.choice((*HOSTILE, "missing.safetensors", CERTIFICATE))
        return
    name, how = network["file"], draw.randrange(4)

    def change(folder: Path) -> None:
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        if how == 0:
            (folder / "elsewhere").write_bytes(content)
            path.symlink_to(folder / "elsewhere")
        elif how == 1:
            os.mkfifo(path)
        elif how == 2:
            path.mkdir()
        else:
            path.symlink_to(path)

    work.folder = change


def hostile_certificate(work: Work) -> None:
    """The certificate itself is a link, a pipe, a folder, or is not there."""
    how = work.draw.randrange(5)

    def change(folder: Path) -> None:
        path = folder / CERTIFICATE
        content = path.read_bytes()
        path.unlink()
        if how == 0:
            (folder / "elsewhere").write_bytes(content)
            path.symlink_to(folder / "elsewhere")
        elif how == 1:
            os.mkfifo(path)
        elif how == 2:
            path.mkdir()
        elif how == 3:
            path.symlink_to("/dev/zero")

    work.folder = change


# Sizes


def large(work: Work) -> None:
    """More than a checker can do, or just enough to keep it busy: blocks, frames, steps, texts."""
    draw, draft = work.draw, work.draft
    many = 2 ** draw.randint(4, 16)
    how = draw.randrange(7)
    if how == 0 and draft.file is None:
        draft.structure = "relu/" * (many - 1) + "relu|" + draft.structure.split("|", 1)[1]
        draft.body["network"]["structure"] = draft.structure
    elif how == 1 and "radius" in draft.tensors:
        center, radius = draft.tensors["center"], draft.tensors["radius"]
        center.values, center.shape = center.values * many, (center.shape[0] * many, center.shape[1])
        if len(radius.values) > 1:
            radius.values, radius.shape = radius.values * many, (radius.shape[0] * many,)
    elif how == 2:
        draft.body["steps"] = work.steps * min(many, 1000)
    elif how == 3:
        draft.body["about"] = {"x": "y" * 64 * many}
    elif how == 4:
        draft.header = lambda text: text + " " * 64 * many
    elif how == 5:  # a string that does not end, full of quotation marks
        draft.header = lambda text: text[:1] + '"' + '\\"' * many + text[-1:]
    else:
        draft.body["about"] = {str(k): "" for k in range(many)}


def short_of_time(work: Work) -> None:
    """Nothing is wrong but the time that is allowed."""
    work.seconds = work.draw.choice((0.0, 1e-4, 1e-3, 3e-3, 1e-2))


class Kind(NamedTuple):
    """name: as in the table of results; weight: how often; signed: whether signing again makes sense."""

    name: str
    change: Change
    weight: int
    signed: bool = False


KINDS = (
    Kind("bits flipped anywhere", flip_anywhere, 4),
    Kind("bits flipped in the header", flip_in_header, 4),
    Kind("bits flipped in the numbers", flip_in_data, 5),
    Kind("bits flipped in the network's file", flip_in_network, 2),
    Kind("cut, extended, overwritten", cut_or_extend, 3),
    Kind("header's length", header_length, 1),
    Kind("JSON damaged", damage_json, 4),
    Kind("types, shapes, offsets, names of tensors", header_entries, 4),
    Kind("fields exchanged", swap_fields, 3, signed=True),
    Kind("field changed", change_field, 5, signed=True),
    Kind("steps in another order", reorder_steps, 4, signed=True),
    Kind("step left out", remove_step, 4, signed=True),
    Kind("step repeated", repeat_step, 3, signed=True),
    Kind("rule, variable, part, set", change_step, 6, signed=True),
    Kind("number of a step", change_number, 6, signed=True),
    Kind("plane or box moved inward", tighten, 10, signed=True),
    Kind("rows, units, tensors exchanged", swap_numbers, 5, signed=True),
    Kind("another margin", change_margin, 5, signed=True),
    Kind("another input set", change_inputs, 9, signed=True),
    Kind("another specification", change_question, 6, signed=True),
    Kind("other weights", change_weights, 6, signed=True),
    Kind("another structure", change_structure, 3, signed=True),
    Kind("another network", other_network, 2, signed=True),
    Kind("hostile network file", hostile_name, 2),
    Kind("hostile certificate file", hostile_certificate, 1),
    Kind("large", large, 1),
    Kind("short of time", short_of_time, 1),
)


@dataclass
class Corruption:
    """A corrupted certificate. signed: digests written anew; forged: the margin is to be raised as far as it goes."""

    number: int
    kind: str
    work: Work
    signed: bool = False
    forged: bool = False
    also: list[str] = field(default_factory=list)
    margin: float | None = None

    def set_margin(self, margin: float) -> None:
        """Claim another margin."""
        self.margin = margin
        self.work.draft.body["margin"] = margin.hex()
        self.sign()

    def sign(self) -> bool:
        """Write the digests anew; False where the draft has lost what they are made of."""
        return signed_again(self.work.draft)


def signed_again(draft: Draft) -> bool:
    """Write both digests anew; False where the draft has lost what they are made of."""
    try:
        draft.digest()
        draft.claim()
    except (KeyError, TypeError, AttributeError, OverflowError, struct.error, ValueError, IndexError):
        return False
    return True


def corrupted(number: int, seed: int, certificates: Sequence[Seed], kinds: Sequence[Kind] = KINDS) -> Corruption:
    """The corruption of this number, the same whenever it is asked for."""
    draw = random.Random(f"{seed} {number}")
    (source,) = draw.choices(certificates, [one.weight for one in certificates])
    (kind,) = draw.choices(kinds, [one.weight for one in kinds])
    work = Work(source, certificates, source.copy(), draw)
    made = Corruption(number, kind.name, work)
    try:
        kind.change(work)
        if kind.signed and draw.random() < 0.15:
            second = draw.choice([one for one in KINDS if one.signed])
            made.also.append(second.name)
            second.change(work)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, OverflowError):
        # a second change met what the first had left
        assert made.also, (number, kind.name)
    if kind.signed and draw.random() < 0.6:
        made.signed = made.sign()
        made.forged = made.signed and draw.random() < 0.6
    return made
