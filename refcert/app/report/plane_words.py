"""A plane, its box and its violating point as text with every digit; amounts of a picture in few digits."""

from __future__ import annotations

import math
from typing import Final

from refcert.app.report.plane_values import is_product
from refcert.app.report.rulers import power_of_ten
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim

# So that a power of ten whose logarithm rounds down counts as that power.
_ALMOST: Final = 1e-9


def inequality(claim: PlaneClaim) -> str:
    """'sigmoid_times_tanh(v, z) ≤ 0.125 · v + 0.25 · z - 3.0'."""
    sign = "≥" if claim.side == "lower" else "≤"
    two = is_product(claim.kind)
    slope_z = f" {_signed(claim.slope_z)} · z" if two else ""
    return f"{claim.kind}({'v, z' if two else 'v'}) {sign} {claim.slope_v!r} · v{slope_z} {_signed(claim.offset)}"


def box(claim: PlaneClaim) -> str:
    """'v in [-1.25, 1.5], z in [-0.75, 2.0]'."""
    both = f"v in [{claim.lower_v!r}, {claim.upper_v!r}]"
    both += f", z in [{claim.lower_z!r}, {claim.upper_z!r}]" if is_product(claim.kind) else ""
    if claim.diagonals is None:
        return both
    low_plus, high_plus, low_minus, high_minus = claim.diagonals
    return f"{both}, v + z in [{low_plus!r}, {high_plus!r}], v - z in [{low_minus!r}, {high_minus!r}]"


def point(judgement: Judgement, kind: str | None) -> str:
    """'v = 0.5, z = 1.25', exactly; '' without a point. kind: None if it was not kept."""
    if judgement.point is None:
        return ""
    names = "vz" if kind is None or is_product(kind) else "v"
    return ", ".join(
        f"{name} = {' + '.join(map(repr, (x, *rest)))}"
        for name, x, rest in zip(names, judgement.point, judgement.rest, strict=False)
    )


def _signed(value: float) -> str:
    return f"- {-value!r}" if math.copysign(1.0, value) < 0 else f"+ {value!r}"


def amount(value: float, power: int) -> str:
    """value times 10**power in plain digits where that is short."""
    if value == 0:
        return "0"
    total = power + math.floor(math.log10(abs(value)) + _ALMOST)
    if -4 < total < 4:
        text = f"{value * 10.0**power:.4g}"
    else:
        digits = f"{value / 10.0 ** (total - power):.3g}"
        text = (digits + "\N{MULTIPLICATION SIGN}" if digits not in ("1", "-1") else digits[:-1]) + power_of_ten(total)
    return text.replace("-", "\N{MINUS SIGN}")


def times(halvings: int) -> str:
    """2**halvings in round words."""
    times = 2**halvings
    return f"{times:,}" if times < 10_000 else power_of_ten(round(halvings * math.log10(2)))
