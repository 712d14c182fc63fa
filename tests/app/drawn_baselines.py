"""Baselines as Hypothesis draws them: awkward names, labels of one class or of every frame, values of every size."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from refcert.app.baseline import decimals
from refcert.app.baseline.entries import Baseline, DataEntry, ModelEntry, Sample, Tolerances

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
DIGESTS = st.text("0123456789abcdef", min_size=12, max_size=12)
CLASSES = st.integers(0, 99)
GAPS = ("layer 0 forget", "layer 0 input", "layer 1 update (backward)", "layer 0 before.0")


def values(measure: str = "radius") -> st.SearchStrategy[Decimal]:
    positive = st.floats(0, 1e300, allow_subnormal=True)
    return (positive if measure == "radius" else FINITE).map(decimals.bound)


@st.composite
def samples(draw: st.DrawFn, index: int, measure: str, audited: bool) -> Sample:
    label = draw(CLASSES | st.lists(CLASSES, min_size=1, max_size=3).map(tuple))
    names = draw(st.sets(st.sampled_from(GAPS)))
    return Sample(
        index,
        draw(DIGESTS),
        label,
        draw(CLASSES if isinstance(label, int) else st.lists(CLASSES, min_size=1, max_size=3).map(tuple)),
        draw(st.booleans()),
        draw(st.none() | values(measure)),
        {name: draw(st.floats(0, 1e10).map(decimals.gap)) for name in sorted(names)},
        draw(st.integers(0, 9)) if audited else None,
    )


@st.composite
def baselines(draw: st.DrawFn) -> Baseline:
    radius = draw(st.none() | st.floats(0, 1e3))
    request = {
        "norm": draw(st.sampled_from(("inf", "2", "1.5"))),
        "input_set": "frames",
        "tolerance": draw(st.floats(1e-9, 0.5)),
        "structure": draw(TEXTS),
        "clip": draw(st.lists(FINITE, min_size=2, max_size=2)),
    } | ({} if radius is None else {"radius": radius})
    measure, audited = "radius" if radius is None else "margin", draw(st.booleans())
    indices = sorted(draw(st.sets(st.integers(0, 10**6), max_size=5)))
    tolerance = st.floats(0, 0.9)
    return Baseline(
        ModelEntry(draw(TEXTS), draw(DIGESTS), draw(st.dictionaries(TEXTS, st.just({"i": "0" * 12, "f": "1" * 12})))),
        DataEntry(draw(TEXTS), draw(DIGESTS), draw(TEXTS), (3, 2, 1)),
        request,
        draw(st.none() | DIGESTS),
        Tolerances(draw(tolerance), draw(tolerance), draw(tolerance)),
        tuple(draw(samples(index, measure, audited)) for index in indices),
        draw(TEXTS),
    )
