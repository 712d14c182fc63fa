"""Blocks in the kernel: what is computed once, and faults that the vectors see. Verdicts: test_vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flint import arb

from refcert.kernel import block_rules, blocks, ends, supposed_bounds
from refcert.kernel.ball import precision
from refcert.kernel.check import Verdict, check
from refcert.kernel.state import State
from refcert.kernel.substitution import bounds
from tests.certificates import block_vectors
from tests.certificates.block_vectors import LSTM, ROW, SPLIT

Fault = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("name", [ROW, SPLIT, LSTM])
def test_what_is_computed_once_is_what_is_computed_for_each_unit(name: str, tmp_path: Path, monkeypatch) -> None:
    """Every bound that the check asks for, with the shared form and without it, up to balls that meet."""
    honest, shared, alone = supposed_bounds.supposed_bounds, supposed_bounds._group, []

    def compared(state: State, forms, multipliers, which: int) -> list[arb]:
        found = honest(state, forms, multipliers, which)
        with monkeypatch.context() as patch:
            patch.setattr(supposed_bounds, "_group", lambda *asked: (shared(*asked)[0], None))
            again = honest(state, forms, multipliers, which)
        alone.extend(zip(found, again, strict=True))
        return found

    monkeypatch.setattr(ends, "supposed_bounds", compared)
    assert check(block_vectors.made(name).vector("c", "VALID").write(tmp_path)).verdict is Verdict.VALID
    assert alone
    for one, other in alone:
        assert one.overlaps(other)
        assert abs(one - other) < 1e-30 or not one.is_finite()


def test_forms_without_multipliers_do_not_begin_at_the_outputs(tmp_path: Path, monkeypatch) -> None:
    """A form of variable 2 with multipliers of 0 reads no planes at all."""
    seen: list[State] = []
    honest = block_rules.prove_ends
    monkeypatch.setattr(block_rules, "prove_ends", lambda state, *more: (seen.append(state), honest(state, *more)))
    check(block_vectors.made(ROW).vector("c", "VALID").write(tmp_path))
    state = seen[0]
    state.planes.clear()
    with precision(128):
        (plain,) = bounds(state, [{(2, 0): 1.0}], [0.0], 0)
        (zero,) = supposed_bounds.supposed_bounds(state, [{(2, 0): 1.0}], [(0.0,)], 0)
        (more,) = supposed_bounds.supposed_bounds(state, [{(2, 0): 1.0}], [(1.0,)], 0)
    assert plain.is_finite()
    assert zero.overlaps(plain)
    assert not more.is_finite()


# Faults planted in the kernel: some rejected vector is VALID for it


def negative_multipliers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(block_rules, "_require_not_negative", lambda rows: None)


def halves_need_not_meet(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(blocks, "_require_both", lambda closed: None)


def facts_stay(patch: pytest.MonkeyPatch) -> None:
    """What a block proves is written into what is around it."""
    honest = State.under

    def shared(state: State, supposition) -> State:
        inside = honest(state, supposition)
        inside.planes, inside.boxes, inside.diagonals = state.planes, state.boxes, state.diagonals
        return inside

    patch.setattr(State, "under", shared)


def rows_closed_by_any_block(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(blocks.RULES, "closed.row", lambda step, state, claimed: None)


def emptiness_unproved(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(blocks.RULES, "closed.empty", lambda step, state, claimed: None)


def open_blocks_count(patch: pytest.MonkeyPatch) -> None:
    """A row is proved when its block is opened."""
    honest = blocks.Blocks._opened

    def opened(self, step, around):
        block = honest(self, step, around)
        block.state.proved.add(block.state.suppositions[0].row)
        return block

    patch.setattr(blocks.Blocks, "_opened", opened)
    order = blocks.Order.next
    patch.setattr(blocks.Order, "next", lambda self, step, *, last: None if last else order(self, step, last=last))


FAULTS: list[tuple[Fault, str]] = [
    (negative_multipliers, "box.supposed: a negative multiplier"),
    (halves_need_not_meet, "closed.split: another number"),
    (halves_need_not_meet, "closed.split: one half"),
    (facts_stay, "closed.row: by planes of a block that is closed"),
    (rows_closed_by_any_block, "closed.row: after one round"),
    (emptiness_unproved, "closed.empty: too early"),
    (open_blocks_count, "margin: a block that is open"),
]


@pytest.mark.parametrize(("fault", "name"), FAULTS, ids=[f"{fault.__name__}, {name}" for fault, name in FAULTS])
def test_a_kernel_that_proves_too_little_is_caught(fault: Fault, name: str, tmp_path: Path, monkeypatch) -> None:
    (vector,) = [one for one, _ in block_vectors.rejected() if one.name == name]
    path = vector.write(tmp_path)
    assert check(path).verdict is not Verdict.VALID
    fault(monkeypatch)
    assert check(path).verdict is Verdict.VALID
