"""Random corruptions of honest certificates: what is done to them, each kind one function.

A kind changes a `Work`: the draft, the bytes that come of it, the folder that they are written to. `signed` kinds
change what is claimed, or what it rests on: half of them are signed again (the digests fit what has become of the
file), and a part of those is `forged`: the margin is raised to the very number that the changed steps give.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.certificates.corrupting.claims import change_inputs, change_margin, change_question
from tests.certificates.corrupting.data import (
    cut_or_extend,
    damage_json,
    flip_anywhere,
    flip_in_data,
    flip_in_header,
    flip_in_network,
    header_entries,
    header_length,
)
from tests.certificates.corrupting.steps import (
    change_field,
    change_step,
    remove_step,
    reorder_steps,
    repeat_step,
    swap_fields,
)
from tests.certificates.corrupting.surroundings import (
    change_structure,
    change_weights,
    hostile_certificate,
    hostile_name,
    large,
    other_network,
    short_of_time,
)
from tests.certificates.corrupting.values import change_number, swap_numbers, tighten
from tests.certificates.corrupting.work import Change, Work
from tests.certificates.corruption_seeds import Seed
from tests.certificates.tiny_certificates import Draft


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
