"""Is there a lemma for everything that soundness rests on? What exists is read from the tables of engine and audit.

An item that has code of its own must be named by some lemma's `code`, one that is a name only (a readout, a clip
bound, a kind) by some lemma's `covers`. So whoever adds a relaxation, a cell, a readout, an input set, a reading of the
specification or a kind of nonlinearity without a lemma sees `tests/proofs/test_coverage.py` fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, get_args

from gpu_engine import spec
from gpu_engine.cells.unroll import CELLS
from gpu_engine.inputs import CLIP_BOUNDS, decibel_radius
from gpu_engine.model import ACTIVATIONS, READOUTS
from gpu_engine.propagation import interval
from gpu_engine.propagation.concretize import PREPARE
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.octagon_maximum import octagon_maximum
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search import radius
from proofs.lemma import Lemma
from refcert.kernel.plane_proof import PROOFS


class Item(NamedTuple):
    """group and name as people know them; reference: `module:attribute` of its code, '' where it is a name only."""

    group: str
    name: str
    reference: str

    @property
    def label(self) -> str:
        """What a lemma's `covers` must hold for an item without code."""
        return f"{self.group} {self.name}"


def _of(group: str, name: str, code: Callable[..., object] | type) -> Item:
    return Item(group, name, f"{code.__module__}:{code.__qualname__}")


def _specification_forms() -> Iterable[Callable[..., object]]:
    """The functions of `gpu_engine.spec` that make specifications."""
    for name in spec.__all__:
        value = getattr(spec, name)
        if callable(value) and getattr(value, "__annotations__", {}).get("return") == "Specification":
            yield value


def items() -> tuple[Item, ...]:
    """Everything that needs a lemma."""
    found: list[Item] = []
    for name, relaxation in RELAXATIONS.items():
        found += [_of("relaxation", name, relaxation.product), _of("lines of", name, relaxation.curve)]
        if relaxation.octagon is not None:
            found.append(_of("over octagons, relaxation", name, relaxation.octagon))
    found += [_of("offset of", kind, product.upper_maximum) for kind, product in PRODUCTS.items()]
    found += [_of("over octagons, offset of", kind, octagon_maximum) for kind in PRODUCTS]
    found += [_of("inside octagons, of", kind, product.inside) for kind, product in PRODUCTS.items() if product.inside]
    found += [_of("offset of", kind, curve.maximum) for kind, curve in CURVES.items()]
    found += [_of("cell", name, cell) for name, cell in CELLS.items()]
    for kind, prepare in PREPARE.items():
        found += [_of("input set", kind.__name__, kind), _of("input set, prepared", kind.__name__, prepare)]
    found += [_of("input set", "decibel radius", decibel_radius)]
    found += [_of("reading", reading.__name__, reading.margins) for reading in get_args(spec.Reading)]
    found += [_of("specification", form.__name__, form) for form in _specification_forms()]
    found += [_of("interval image", rule.__name__, rule) for rule in (interval.sigmoid, interval.tanh, interval.relu)]
    found += [_of("interval image", rule.__name__, rule) for rule in (interval.multiply, interval.add, interval.linear)]
    found += [
        _of("radius", search.__name__, search)
        for search in (radius.certified_radius, radius.certified_sequence_radius, radius.certified_scale)
    ]
    found += [Item("readout", name, "") for name in READOUTS]
    found += [Item("clip bound", name, "") for name in CLIP_BOUNDS]
    found += [Item("activation", name, "") for name in ACTIVATIONS]
    found += [Item("kind", name, "") for name in PROOFS]
    return tuple(found)


ITEMS: Final = items()


def lemmas_of(item: Item, lemmas: Iterable[Lemma]) -> tuple[str, ...]:
    """The names of the lemmas that are about an item."""
    return tuple(
        lemma.name
        for lemma in lemmas
        if (item.reference in lemma.code if item.reference else item.label in lemma.covers)
    )


def coverage_markdown(lemmas: Iterable[Lemma]) -> str:
    """The second table of `proofs/README.md`."""
    known = tuple(lemmas)
    lines = ["| what | lemmas |", "| --- | --- |"]
    for item in ITEMS:
        named = ", ".join(f"`{name}`" for name in lemmas_of(item, known))
        lines.append(f"| {item.group} `{item.name}` | {named} |")
    return "\n".join(lines) + "\n"
