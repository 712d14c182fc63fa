"""Certificates that must be rejected: each an accepted one of tiny_certificates with one corruption.

An entry names the corruption, the draft that it starts from, what is done to it, and the verdict. Offsets and ends are
the tightest binary64 numbers, so one unit in the last place too far is a fault.
"""

from __future__ import annotations

import copy
import math
import struct
from collections.abc import Callable
from typing import Any

from tests.certificates.tiny_certificates import Array, Draft, Vector, array, draft_of, encode

Corruption = Callable[[Draft], Any]
INVALID, HOLEY, UNREADABLE = "INVALID", "HOLEY", "UNREADABLE"

PLANES, TWO_SETS = "one layer: planes alone", "one layer: substitution boxes"
INTERVAL, SUBSTITUTED = "one layer: interval boxes", "one layer: substitution boxes"
NO_PLANES = "margin: no planes where no state is read"
INTERSECTED, PER_CLASS = "one layer: intersected boxes", "one layer: per class"
CLIPPED = "clipped, backward, targeted, in a file: planes alone"
TOP_K = "p one clipped, two directions, top k: planes alone"
MEAN = "sequence ball, p one, mean of three: planes alone"
MOVES = "sequence ball, p one, clip, moves, max of three: planes alone"
MOVES_BOXES = "sequence ball, p one, clip, moves, max of three: interval boxes"
STEPS = "sequence ball, p inf, moves, every: planes alone"
BOXES = "boxes, stacked, rows over every answer: planes alone"
WORDS = "substitutions, blocks before and after: planes alone"


# What is done to a draft


def further(value: float) -> float:
    return math.nextafter(value, math.inf)


def nearer(value: float) -> float:
    return math.nextafter(value, -math.inf)


def in_plane(row: int, change: Callable[[float], float]) -> Corruption:
    """Change a number of planes of a unit whose box has the kink inside; the first such unit."""

    def corrupt(draft: Draft) -> None:
        for k, step in enumerate(draft.body["steps"]):
            table = draft.tensors.get(f"step.{k}")
            units = table.shape[1] if table and step["rule"] == "planes" else 0
            for unit in range(units):
                if 0 < table.values[2 * units + unit] < 1:
                    table.values[row * units + unit] = change(table.values[row * units + unit])
                    return
        raise AssertionError("no unit has its kink inside of its box")

    return corrupt


def in_box(rule: str, row: int, change: Callable[[float], float], at: int = 0) -> Corruption:
    """Change an end of the first unit of a box step."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{draft.step(rule, at)}"]
        table.values[row * table.shape[1]] = change(table.values[row * table.shape[1]])

    return corrupt


def turned(rule: str) -> Corruption:
    """Exchange the two halves of a step's tensor: lower and upper planes, or ends."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{draft.step(rule)}"]
        half = len(table.values) // 2
        table.values[:] = table.values[half:] + table.values[:half]

    return corrupt


def in_step(name: str, at: int = 0, /, without: str = "", **keys: Any) -> Corruption:
    """Change keys of a step."""

    def corrupt(draft: Draft) -> None:
        step = draft.body["steps"][draft.step(name, at)]
        step.update(keys)
        step.pop(without, None)

    return corrupt


def put_in(position: int, step: dict[str, Any], table: Array | None = None) -> Corruption:
    """Put a step between others; the tensors of those behind it are named anew."""

    def corrupt(draft: Draft) -> None:
        steps = draft.body["steps"]
        tables = [draft.tensors.pop(f"step.{k}", None) for k in range(len(steps))]
        at = position % (len(steps) + 1)
        steps.insert(at, step)
        tables.insert(at, table)
        draft.tensors.update({f"step.{k}": table for k, table in enumerate(tables) if table is not None})

    return corrupt


def magic(table: Array) -> Corruption:
    """A step that nobody knows, with its tensor."""
    return put_in(0, {"rule": "magic"}, table)


def unknown(position: int) -> Corruption:
    """A step that nobody knows, put in at a position."""
    return put_in(position, {"rule": "magic"})


def drop(position: int) -> Corruption:
    return lambda draft: draft.drop(position)


def nest(depth: int) -> Any:
    return [nest(depth - 1)] if depth else []


def again(rule: str) -> Corruption:
    """Put a copy of a step behind it."""

    def corrupt(draft: Draft) -> None:
        k = draft.step(rule)
        step, table = draft.body["steps"][k], draft.tensors.get(f"step.{k}")
        put_in(k + 1, copy.deepcopy(step), copy.deepcopy(table))(draft)

    return corrupt


def body(**keys: Any) -> Corruption:
    return lambda draft: draft.body.update(keys)


def without(key: str) -> Corruption:
    return lambda draft: draft.body.pop(key)


def inputs(**keys: Any) -> Corruption:
    return lambda draft: draft.body["inputs"].update(keys)


def asked(**keys: Any) -> Corruption:
    return lambda draft: draft.body["specification"].update(keys)


def tensor(name: str, new: Array | None = None, **attributes: Any) -> Corruption:
    """Put in a tensor, or change one: its first value, its type or its shape."""

    def corrupt(draft: Draft) -> None:
        if new is not None:
            draft.tensors[name] = new
        if "first" in attributes:
            draft.tensors[name].values[0] = attributes["first"]
        for key in {"dtype", "shape"} & attributes.keys():
            setattr(draft.tensors[name], key, attributes[key])

    return corrupt


def missing(name: str) -> Corruption:
    return lambda draft: draft.tensors.pop(name)


def margin(change: Callable[[float], float]) -> Corruption:
    return lambda draft: draft.body.update(margin=change(float.fromhex(draft.body["margin"])).hex())


def text(old: str, new: str) -> Corruption:
    """Replace something in the body's JSON."""
    return lambda draft: setattr(draft, "text", lambda whole: replaced(whole, old, new))


def header(old: str, new: str) -> Corruption:
    """Replace something in the header's JSON; an empty `old` stands for its end."""
    return lambda draft: setattr(draft, "header", lambda whole: replaced(whole, old, new) if old else whole + new)


def data(change: Callable[[bytes], bytes]) -> Corruption:
    return lambda draft: setattr(draft, "data", change)


def replaced(whole: str, old: str, new: str) -> str:
    assert old in whole, (old, whole)
    return whole.replace(old, new, 1)


def in_file(**keys: Any) -> Corruption:
    return lambda draft: draft.file_body.update(keys)


def structure(new: str) -> Corruption:
    """Another structure, with its digest."""

    def corrupt(draft: Draft) -> None:
        draft.body["network"]["structure"] = draft.structure = new
        draft.digest()

    return corrupt


def both(*corruptions: Corruption) -> Corruption:
    def corrupt(draft: Draft) -> None:
        for one in corruptions:
            one(draft)

    return corrupt


def digest(draft: Draft) -> None:
    draft.digest()


def named_digest(text: str) -> Corruption:
    return lambda draft: draft.body["network"].update(digest=text)


def remark() -> Corruption:
    return body(about={"remark": ""})


def huge(draft: Draft) -> None:
    """The first unit's argument is beyond binary64 numbers, twice 2^1023; at the first frame no other unit's is."""
    for name in ("bias_ih", "bias_hh"):
        draft.tensors[f"network.layers.0.0.{name}"].values[0] = 2.0**1023
    draft.digest()


def weight_ih(width: int) -> Corruption:
    """Another width for what the second direction of the first layer reads, with its digest."""

    def corrupt(draft: Draft) -> None:
        name = "network.layers.0.1.weight_ih"
        rows = draft.tensors[name].shape[0]
        draft.tensors[name] = array(*[[0.5] * width] * rows)
        draft.digest()

    return corrupt


def one_class(draft: Draft) -> None:
    """A network with one class, with its digest, and a claim about the only label."""
    draft.tensors["network.after.0.weight"] = array([1.0, 0.5])
    draft.tensors["network.after.0.bias"] = array(9.0)
    draft.body["specification"]["label"] = 0
    draft.digest()


def padded(whole: bytes, length: int) -> bytes:
    """The same file with spaces behind its header."""
    old = int.from_bytes(whole[:8], "little")
    return struct.pack("<Q", length) + whole[8 : 8 + old] + b" " * (length - old) + whole[8 + old :]


def named_interval(draft: Draft) -> None:
    """Call every box step an interval step."""
    for step in draft.body["steps"]:
        if step["rule"] == "box.substitution":
            step["rule"] = "box.interval"
            del step["sets"]


# What is planted: (name, draft, corruption, verdict). The claim's digest is written anew behind these ...

SEMANTIC: list[tuple[str, str, Corruption, str]] = [
    ("planes: upper offset too low", PLANES, in_plane(3, nearer), INVALID),
    ("planes: lower offset too high", PLANES, in_plane(1, further), INVALID),
    ("planes: upper slope halved", PLANES, in_plane(2, lambda slope: slope / 2), INVALID),
    ("planes: lower slope above one", PLANES, in_plane(0, lambda _: further(1.0)), INVALID),
    ("planes: lower slope below zero", PLANES, in_plane(0, lambda _: nearer(0.0)), INVALID),
    ("planes: lower and upper exchanged", PLANES, turned("planes"), INVALID),
    ("planes: left out", PLANES, drop(0), INVALID),
    ("planes: in a set that nobody reads", PLANES, in_step("planes", set=3), INVALID),
    ("planes: twice for one set", PLANES, again("planes"), INVALID),
    ("planes: of a higher variable first", PLANES, lambda d: d.swap(0, 1), INVALID),
    ("planes: behind the variable's box", INTERVAL, lambda d: d.swap(1, 2), INVALID),
    ("planes: of a wider box, its box step left out", INTERSECTED, drop(5), INVALID),
    ("planes: behind the margin", PLANES, lambda d: d.swap(1, 2), INVALID),
    ("planes: part one of one", PLANES, in_step("planes", part=1), UNREADABLE),
    ("planes: set 1024", PLANES, in_step("planes", set=1024), UNREADABLE),
    ("planes: of an affine variable", INTERVAL, in_step("planes", of=2), UNREADABLE),
    ("planes: of a frame", PLANES, in_step("planes", of=1), UNREADABLE),
    ("planes: of a variable too many", PLANES, in_step("planes", of=7), UNREADABLE),
    ("planes: no key set", PLANES, in_step("planes", without="set"), UNREADABLE),
    ("planes: a key too many", PLANES, in_step("planes", sets=[0]), UNREADABLE),
    ("planes: three rows", PLANES, tensor("step.0", array([0.0] * 2, [0.0] * 2, [1.0] * 2)), UNREADABLE),
    ("planes: a column too many", PLANES, tensor("step.0", array(*[[0.0] * 3] * 4)), UNREADABLE),
    ("planes: no tensor", PLANES, missing("step.0"), UNREADABLE),
    ("planes: half precision", PLANES, tensor("step.0", array(*[[0.0] * 2] * 4, dtype="F16")), UNREADABLE),
    ("interval: lower end too high", INTERVAL, in_box("box.interval", 0, further), INVALID),
    ("interval: upper end too low", INTERVAL, in_box("box.interval", 1, nearer), INVALID),
    ("interval: upper end of relu too low", INTERVAL, in_box("box.interval", 1, nearer, 1), INVALID),
    ("interval: lower end of the last box too high", INTERVAL, in_box("box.interval", 0, further, -1), INVALID),
    ("interval: ends exchanged", INTERVAL, turned("box.interval"), INVALID),
    ("interval: named for what substitution gives", SUBSTITUTED, named_interval, INVALID),
    ("interval: twice", INTERVAL, again("box.interval"), INVALID),
    ("interval: before what it reads", INTERVAL, lambda d: d.swap(0, 3), INVALID),
    ("interval: of a frame", INTERVAL, in_step("box.interval", of=0), UNREADABLE),
    ("interval: sets", INTERVAL, in_step("box.interval", sets=[0]), UNREADABLE),
    ("interval: one row", INTERVAL, tensor("step.0", array([0.0, 0.0])), UNREADABLE),
    ("substitution: lower end too high", SUBSTITUTED, in_box("box.substitution", 0, further), INVALID),
    ("substitution: upper end too low", SUBSTITUTED, in_box("box.substitution", 1, nearer), INVALID),
    ("substitution: second box too small", SUBSTITUTED, in_box("box.substitution", 0, further, 1), INVALID),
    ("substitution: ends exchanged", SUBSTITUTED, turned("box.substitution"), INVALID),
    ("substitution: only a set without planes", SUBSTITUTED, in_step("box.substitution", 1, sets=[7]), INVALID),
    ("substitution: planes left out", SUBSTITUTED, drop(1), INVALID),
    ("substitution: no set", SUBSTITUTED, in_step("box.substitution", sets=[]), UNREADABLE),
    ("substitution: a set twice", SUBSTITUTED, in_step("box.substitution", sets=[0, 0]), UNREADABLE),
    ("substitution: sets fall", SUBSTITUTED, in_step("box.substitution", sets=[1, 0]), UNREADABLE),
    ("substitution: set 1024", SUBSTITUTED, in_step("box.substitution", sets=[1024]), UNREADABLE),
    ("substitution: no sets", SUBSTITUTED, in_step("box.substitution", without="sets"), UNREADABLE),
    ("intersection: lower end too high", INTERSECTED, in_box("box.intersection", 0, further), INVALID),
    ("intersection: upper end too low", INTERSECTED, in_box("box.intersection", 1, nearer), INVALID),
    ("intersection: box of relu too small", INTERSECTED, in_box("box.intersection", 1, nearer, 1), INVALID),
    ("intersection: last box too small", INTERSECTED, in_box("box.intersection", 0, further, -1), INVALID),
    ("intersection: ends exchanged", INTERSECTED, turned("box.intersection"), INVALID),
    ("intersection: no set", INTERSECTED, in_step("box.intersection", sets=[]), UNREADABLE),
    ("margin: too large by one unit in the last place", PLANES, margin(further), INVALID),
    ("margin: too large for two sets", TWO_SETS, margin(further), INVALID),
    ("margin: too large for top k", TOP_K, margin(further), INVALID),
    ("margin: too large for a mean of three", MEAN, margin(further), INVALID),
    ("margin: too large for steps", STEPS, margin(further), INVALID),
    ("margin: too large for rows", BOXES, margin(further), INVALID),
    ("margin: too large for substitutions", WORDS, margin(further), INVALID),
    ("margin: only a set without planes", PLANES, in_step("margin", sets=[1]), INVALID),
    ("margin: only sets without planes", TWO_SETS, in_step("margin", sets=[5, 7]), INVALID),
    ("margin: twice", PLANES, again("margin"), INVALID),
    ("margin: not there", PLANES, drop(2), INVALID),
    ("margin: no set", PLANES, in_step("margin", sets=[]), UNREADABLE),
    ("margin: with a tensor", PLANES, tensor("step.2", array(1.0)), UNREADABLE),
    ("margin: zero", PLANES, body(margin="0x0.0p+0"), UNREADABLE),
    ("margin: negative", PLANES, body(margin="-0x1.0000000000000p-1"), UNREADABLE),
    ("per class: margin too large", PER_CLASS, margin(further), INVALID),
    ("per class: the margin of rows", TWO_SETS, in_step("margin", rule="margin.per_class"), INVALID),
    ("per class: only a set without planes", PER_CLASS, in_step("margin.per_class", sets=[5]), INVALID),
    ("per class: one of two sets, the looser one", PER_CLASS, in_step("margin.per_class", sets=[1]), INVALID),
    ("per class: for top k", TOP_K, in_step("margin", rule="margin.per_class"), INVALID),
    ("per class: for steps", STEPS, in_step("margin", rule="margin.per_class"), INVALID),
    ("per class: for rows", BOXES, in_step("margin", rule="margin.per_class"), INVALID),
    ("per class: behind a margin step", PER_CLASS, put_in(-2, {"rule": "margin", "sets": [0]}), INVALID),
    ("per class: a key too many", PER_CLASS, in_step("margin.per_class", of=2), UNREADABLE),
    ("claim: larger radius", PLANES, tensor("radius", first=0.5), INVALID),
    ("claim: another center", PLANES, tensor("center", first=1.5), INVALID),
    ("claim: another label", PLANES, asked(label=0), INVALID),
    ("claim: top one of top two", TOP_K, asked(k=1), INVALID),
    ("claim: inf for one", "p one: planes alone", inputs(p="inf"), INVALID),
    ("claim: no clip", CLIPPED, lambda d: d.body["inputs"].pop("clip"), INVALID),
    ("claim: all frames move", MOVES_BOXES, lambda d: d.body["inputs"].pop("moves"), INVALID),
    ("claim: another target", CLIPPED, asked(target=0), INVALID),
    ("claim: other labels", STEPS, asked(labels=[0, 1, 1]), INVALID),
    ("claim: smaller constant of a row", BOXES, tensor("rows.d", first=-20.0), INVALID),
    ("claim: another candidate", WORDS, tensor("candidates", first=8.0), INVALID),
    ("claim: wider box", BOXES, tensor("upper", first=8.0), INVALID),
    ("network: digest of another", PLANES, named_digest("0" * 64), INVALID),
    ("network: another weight", PLANES, tensor("network.layers.0.0.weight_hh", first=7.0), INVALID),
    (
        "network: another weight and its digest",
        PLANES,
        both(tensor("network.layers.0.0.weight_ih", first=7.0), digest),
        INVALID,
    ),
    ("network: backward, and its digest", PLANES, structure("|rnn_relu<|final|dense"), INVALID),
    ("network: another in the file", CLIPPED, lambda d: d.file["after.0.bias"].values.__setitem__(0, 9.0), INVALID),
    ("unknown rule", PLANES, put_in(0, {"rule": "planes.magic", "of": 2, "why": {"x": ["y"]}}, array(1.0)), HOLEY),
    ("unknown rule: the last", PLANES, in_step("margin", rule="margin.magic"), HOLEY),
    ("unknown rule: and a margin too large", PLANES, both(magic(array(1.0)), margin(lambda m: 2 * m)), HOLEY),
    ("unknown rule: behind planes that are wrong", PLANES, both(in_plane(3, nearer), unknown(2)), INVALID),
    ("unknown rule: before planes that are wrong", PLANES, both(in_plane(3, nearer), unknown(0)), HOLEY),
    ("unknown rule: and another digest", PLANES, both(unknown(0), named_digest("0" * 64)), INVALID),
    ("box beyond binary64: planes on it", PLANES, huge, HOLEY),
    ("box beyond binary64: interval arithmetic reads it", NO_PLANES, huge, HOLEY),
    ("box beyond binary64: claimed", INTERVAL, huge, INVALID),
    ("network: no file", CLIPPED, lambda d: d.body["network"].update(file="another.safetensors"), UNREADABLE),
    ("network: a path", CLIPPED, lambda d: d.body["network"].update(file="./network.safetensors"), UNREADABLE),
    ("network: a hidden file", CLIPPED, lambda d: d.body["network"].update(file=".network"), UNREADABLE),
    ("network: file and structure", PLANES, lambda d: d.body["network"].update(file="a"), UNREADABLE),
    ("network: upper-case digest", PLANES, named_digest("A" * 64), UNREADABLE),
    ("network: a certificate in the file", CLIPPED, in_file(format="refcert certificate"), UNREADABLE),
    ("network: version two", CLIPPED, in_file(version=2), UNREADABLE),
    ("network: another structure in the file", CLIPPED, in_file(structure="|rnn_relu>|final|dense"), INVALID),
    ("network: weights in both", CLIPPED, tensor("network.after.0.bias", array(0.0, 9.0, 0.0)), UNREADABLE),
    ("network: no bias", PLANES, missing("network.layers.0.0.bias_hh"), UNREADABLE),
    ("network: an initial cell", PLANES, tensor("network.layers.0.0.initial_cell", array(0.0, 0.0)), UNREADABLE),
    ("network: a layer too many", PLANES, tensor("network.layers.1.0.bias_hh", array(0.0, 0.0)), UNREADABLE),
    ("network: another width", PLANES, tensor("network.after.0.weight", array(*[[0.5] * 3] * 3)), UNREADABLE),
    ("network: a wider second direction", MEAN, weight_ih(3), UNREADABLE),
    ("network: a narrower second direction", MEAN, weight_ih(1), UNREADABLE),
    ("network: an embedding of another width", WORDS, tensor("network.embedding", array([0.5] * 3)), UNREADABLE),
    ("network: one class", PLANES, one_class, UNREADABLE),
    ("network: a bias of one row", PLANES, tensor("network.after.0.bias", shape=(1, 3)), UNREADABLE),
    *[
        (f"network: structure {name}", PLANES, structure(new), UNREADABLE)
        for name, new in {
            "without a readout": "|rnn_relu>|dense",
            "with an unknown readout": "|rnn_relu>|sum|dense",
            "with an unknown cell": "|rnn>|final|dense",
            "without a direction": "|rnn_relu|final|dense",
            "with an empty layer": "|rnn_relu>;|final|dense",
            "without a layer": "||final|dense",
            "without a last block": "|rnn_relu>|final|",
            "ending in relu": "|rnn_relu>|final|dense/relu",
            "with an empty block": "/|rnn_relu>|final|dense",
        }.items()
    ],
    ("network: forward twice", TOP_K, structure("|rnn_relu>,rnn_relu>|last_frame|dense"), UNREADABLE),
    ("network: a name", PLANES, lambda d: d.claim() or d.body.update(network="network"), UNREADABLE),
    ("inputs: another kind", PLANES, inputs(kind="cube"), UNREADABLE),
    ("inputs: a key too many", PLANES, inputs(moves=[0, 1]), UNREADABLE),
    ("inputs: no norm", PLANES, lambda d: d.body["inputs"].pop("p"), UNREADABLE),
    ("inputs: p below one", PLANES, inputs(p="0x1.0000000000000p-1"), UNREADABLE),
    ("inputs: infinity", PLANES, inputs(p="Infinity"), UNREADABLE),
    ("inputs: negative radius", PLANES, tensor("radius", first=-0.25), UNREADABLE),
    ("inputs: one radius for two frames", PLANES, tensor("radius", array(0.25)), UNREADABLE),
    ("inputs: radius missing", PLANES, missing("radius"), UNREADABLE),
    ("inputs: center flat", PLANES, tensor("center", shape=(4,)), UNREADABLE),
    ("inputs: center too wide", PLANES, tensor("center", array([0.5] * 3, [0.5] * 3)), UNREADABLE),
    ("inputs: center outside of the clip", CLIPPED, tensor("center", first=2.0), UNREADABLE),
    ("inputs: clip turned", CLIPPED, inputs(clip=[(1.0).hex(), (-0.5).hex()]), UNREADABLE),
    ("inputs: clip with a negative zero", CLIPPED, inputs(clip=["-0x0.0p+0", (1.0).hex()]), UNREADABLE),
    ("inputs: clip of one number", CLIPPED, inputs(clip=[(1.0).hex()]), UNREADABLE),
    ("inputs: moves fall", MOVES, inputs(moves=[2, 0]), UNREADABLE),
    ("inputs: a frame too many moves", MOVES, inputs(moves=[0, 3]), UNREADABLE),
    ("inputs: a lower end above its upper end", BOXES, tensor("lower", first=1.0), UNREADABLE),
    ("inputs: a count too many", WORDS, inputs(counts=[2, 0, 1, 0]), UNREADABLE),
    ("inputs: another sum of counts", WORDS, inputs(counts=[2, 1, 1]), UNREADABLE),
    ("inputs: a tensor too many", PLANES, tensor("candidates", array([0.0, 0.0])), UNREADABLE),
    ("specification: another kind", PLANES, asked(kind="all"), UNREADABLE),
    ("specification: a label too many", PLANES, asked(label=3), UNREADABLE),
    ("specification: k too large", TOP_K, asked(k=3), UNREADABLE),
    ("specification: k zero", TOP_K, asked(k=0), UNREADABLE),
    ("specification: label is target", CLIPPED, asked(target=1), UNREADABLE),
    ("specification: a label missing", STEPS, asked(labels=[0, 1]), UNREADABLE),
    *[
        (f"specification: {kind} for every frame", STEPS, body(specification={"kind": kind, **keys}), UNREADABLE)
        for kind, keys in {
            "untargeted": {"label": 0},
            "targeted": {"label": 0, "target": 1},
            "top_k": {"label": 0, "k": 1},
        }.items()
    ],
    (
        "specification: steps for one answer",
        PLANES,
        body(specification={"kind": "untargeted_steps", "labels": [1, 1]}),
        UNREADABLE,
    ),
    ("specification: rows too short", BOXES, tensor("rows.C", array([1.0, 0.0, 0.0], [0.0] * 3)), UNREADABLE),
    ("specification: a constant missing", BOXES, tensor("rows.d", array(0.5)), UNREADABLE),
    ("body: version two", PLANES, body(version=2), UNREADABLE),
    ("body: a network's format", PLANES, body(format="refcert network"), UNREADABLE),
    ("body: a key too many", PLANES, body(verdict="VALID"), UNREADABLE),
    ("body: no steps", PLANES, lambda d: [d.drop(0) for _ in range(3)], UNREADABLE),
    ("body: steps by name", PLANES, body(steps={}), UNREADABLE),
    ("body: a set for a list", PLANES, in_step("margin", sets=0), UNREADABLE),
    ("unknown rule: nested too deep", PLANES, put_in(0, {"rule": "magic", "why": nest(9)}), UNREADABLE),
    ("unknown rule: a tensor of four axes", PLANES, magic(Array((1, 1, 1, 1), [1.0])), UNREADABLE),
    ("unknown rule: an empty tensor", PLANES, magic(Array((0,), [])), UNREADABLE),
    ("unknown rule: a tensor of another size", PLANES, magic(Array((3,), [1.0])), UNREADABLE),
    ("unknown rule: a tensor in half precision", PLANES, magic(array(1.0, dtype="F16")), UNREADABLE),
    ("unknown rule: no name", PLANES, put_in(0, {"rule": 7}), UNREADABLE),
    ("body: margin missing", PLANES, lambda d: d.claim() or d.body.pop("margin"), UNREADABLE),
    ("body: about a number", PLANES, body(about={"x": 1}), UNREADABLE),
    ("body: about true", PLANES, body(about={"x": True}), UNREADABLE),
    ("body: about null", PLANES, body(about={"x": None}), UNREADABLE),
    ("body: a step without a rule", PLANES, in_step("planes", without="rule"), UNREADABLE),
    ("body: a step that is a list", PLANES, lambda d: d.body["steps"].insert(0, []), UNREADABLE),
]

# ... and left as it was behind these.
RAW: list[tuple[str, str, Corruption, str]] = [
    ("claim: another digest", PLANES, body(claim="0" * 64), INVALID),
    ("claim: smaller margin, old digest", PLANES, margin(nearer), INVALID),
    ("claim: smaller radius, old digest", PLANES, tensor("radius", first=0.125), INVALID),
    ("claim: k of top k, old digest", TOP_K, asked(k=1), INVALID),
    ("claim: upper case", PLANES, lambda d: d.body.update(claim=d.body["claim"].upper()), UNREADABLE),
    ("claim: short", PLANES, lambda d: d.body.update(claim=d.body["claim"][:-1]), UNREADABLE),
    ("claim: missing", PLANES, without("claim"), UNREADABLE),
    *[
        (f"number: {name}", PLANES, body(margin=number), UNREADABLE)
        for name, number in {
            "decimal": "1.5",
            "upper case": "0x1.A000000000000p+1",
            "digits left out": "0x1.8p+1",
            "zero in front of the exponent": "0x1.8000000000000p+01",
            "no sign of the exponent": "0x1.8000000000000p1",
            "too large": "0x1.0000000000000p+1024",
            "subnormal with a one": "0x1.0000000000000p-1030",
            "space": " 0x1.8000000000000p+1",
            "line": "0x1.8000000000000p+1\n",
            "infinite": "inf",
            "zero as a subnormal": "0x0.0000000000000p-1022",
            "negative zero": "-0x0.0p+0",
            "an integer": 1,
        }.items()
    ],
    ("json: repeated key", PLANES, text('"version": 1', '"version": 1, "version": 1'), UNREADABLE),
    ("json: repeated key, escaped", PLANES, text('"version": 1', '"version": 1, "\\u0076ersion": 1'), UNREADABLE),
    ("json: fraction", PLANES, text('"version": 1', '"version": 1.0'), UNREADABLE),
    ("json: exponent", PLANES, text('"version": 1', '"version": 1e0'), UNREADABLE),
    ("json: negative number", PLANES, text('"part": 0', '"part": -0'), UNREADABLE),
    ("json: number beyond 2^53", PLANES, text('"version": 1', '"version": 9007199254740992'), UNREADABLE),
    ("json: a surrogate", PLANES, both(remark(), text('"remark"', '"\\ud800"')), UNREADABLE),
    (
        "json: a surrogate in a list",
        PLANES,
        both(magic(array(1.0)), text('"magic"', '"magic", "x": ["\\udfff"]')),
        UNREADABLE,
    ),
    ("json: NaN", PLANES, text('"version": 1', '"version": NaN'), UNREADABLE),
    ("json: true", PLANES, text('"version": 1', '"version": true'), UNREADABLE),
    ("json: nested very deep", PLANES, text('"part": 0', '"part": ' + "[" * 99999), UNREADABLE),
    ("json: line behind the body", PLANES, lambda d: setattr(d, "text", lambda whole: whole + "\n"), UNREADABLE),
    ("json: space before the body", PLANES, lambda d: setattr(d, "text", lambda whole: " " + whole), UNREADABLE),
    ("json: the body is a list", PLANES, lambda d: setattr(d, "text", lambda whole: f"[{whole}]"), UNREADABLE),
    ("json: not JSON", PLANES, lambda d: setattr(d, "text", lambda whole: whole[:-2] + "}"), UNREADABLE),
    ("header: line behind it", PLANES, header("", "\n"), UNREADABLE),
    ("header: repeated tensor", PLANES, header('"center":', '"radius":'), UNREADABLE),
    ("header: upper-case name", PLANES, header('"center":', '"Center":'), UNREADABLE),
    ("header: a name with a dash", PLANES, tensor("step-0", array(1.0)), UNREADABLE),
    ("header: name of 65 characters", PLANES, tensor("a" * 65, array(1.0)), UNREADABLE),
    ("header: unknown tensor", PLANES, tensor("remark", array(1.0)), UNREADABLE),
    ("header: unknown type", PLANES, header('"dtype":"F64"', '"dtype":"I64"'), UNREADABLE),
    ("header: scalar", PLANES, tensor("step.0", Array((), [1.0])), UNREADABLE),
    ("header: empty tensor", PLANES, tensor("empty", Array((0,), [])), UNREADABLE),
    ("header: four axes", PLANES, tensor("remark", Array((1, 1, 1, 1), [1.0])), UNREADABLE),
    ("header: a key too many", PLANES, header('"dtype":"F64"', '"dtype":"F64","crc":1'), UNREADABLE),
    ("header: gap", PLANES, header("[0,32]", "[8,32]"), UNREADABLE),
    ("header: three offsets", PLANES, header("[0,32]", "[0,16,32]"), UNREADABLE),
    ("header: overlap", PLANES, header("[32,48]", "[24,40]"), UNREADABLE),
    ("header: offsets turned", PLANES, header("[32,48]", "[48,32]"), UNREADABLE),
    ("header: another size", PLANES, header('"shape":[2,2]', '"shape":[2,3]'), UNREADABLE),
    ("header: no body", PLANES, header('"__metadata__"', '"metadata"'), UNREADABLE),
    ("header: two bodies", PLANES, header('"refcert":"', '"other":"","refcert":"'), UNREADABLE),
    ("header: not a number", PLANES, tensor("center", first=math.nan), UNREADABLE),
    ("header: infinite weight", PLANES, tensor("network.after.0.bias", first=math.inf), UNREADABLE),
    ("header: half precision outside of a network", PLANES, tensor("radius", dtype="F16"), UNREADABLE),
    ("file: empty", PLANES, data(lambda _: b""), UNREADABLE),
    ("file: seven bytes", PLANES, data(lambda whole: whole[:7]), UNREADABLE),
    ("file: cut", PLANES, data(lambda whole: whole[:-1]), UNREADABLE),
    ("file: a byte too many", PLANES, data(lambda whole: whole + b"\0"), UNREADABLE),
    ("file: header beyond its end", PLANES, data(lambda whole: b"\xff" * 8 + whole[8:]), UNREADABLE),
    ("file: header beyond 2^24", PLANES, data(lambda whole: padded(whole, 2**24 + 1)), UNREADABLE),
    ("file: not UTF-8", PLANES, data(lambda whole: whole.replace(b"certificate", b"certificat\xff", 1)), UNREADABLE),
    ("file: a network", PLANES, data(lambda _: encode({"format": "refcert network", "version": 1}, {})), UNREADABLE),
]


def rejected() -> list[Vector]:
    """Certificates that are not VALID, each by one corruption."""
    return [*planted(SEMANTIC), *planted(RAW, anew=False)]


def planted(table: list[tuple[str, str, Corruption, str]], anew: bool = True) -> list[Vector]:
    """The table's vectors; `anew`: with the claim's digest that fits what has become of them."""
    vectors = []
    for name, base, corrupt, expected in table:
        draft = draft_of(base)
        corrupt(draft)
        if anew and "margin" in draft.body and "digest" in draft.body["network"]:
            draft.claim()
        vectors.append(draft.vector(name, expected))
    return vectors
