"""Faults in the accounting of rounding: each is worth a few units in the last place, and a wrong certificate."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Mutation

_ROUNDING: Final = "gpu_engine.rounding"
_SCHEDULE: Final = "gpu_engine.propagation.schedule"
_PREPARED: Final = "gpu_engine.propagation.input_sets.prepared"

FAULTS: Final = (
    Mutation(
        "gamma-is-zero",
        "rounding",
        "the rounding of sums is not charged",
        _ROUNDING,
        (("return n_u / (1 - n_u) * (1 + 2.0**-40)", "return 0.0"),),
    ),
    Mutation(
        "offset-units-zero",
        "rounding",
        "the rounding of offsets is not charged",
        _ROUNDING,
        (("OFFSET_UNITS: Final = 48", "OFFSET_UNITS: Final = 0"),),
    ),
    Mutation(
        "image-units-zero",
        "rounding",
        "the error of the device's sigmoid and tanh is not charged",
        _ROUNDING,
        (("IMAGE_UNITS: Final = ELEMENTARY_UNITS + 2", "IMAGE_UNITS: Final = 0"),),
    ),
    Mutation(
        "float32-rounds-like-float64",
        "rounding",
        "float32 results charged with float64's rounding",
        _ROUNDING,
        (("return torch.finfo(dtype).eps / 2", "return torch.finfo(torch.float64).eps / 2"),),
    ),
    Mutation(
        "underflow-is-free",
        "rounding",
        "underflow is charged nowhere",
        _ROUNDING,
        (("return torch.finfo(dtype).tiny", "return 0.0"),),
    ),
    Mutation(
        "box-without-slack",
        "rounding",
        "interval arithmetic without outward rounding",
        _SCHEDULE,
        (("return Box(low - slack, high + slack)", "return Box(low, high)"),),
    ),
    Mutation(
        "radius-rounded-down",
        "rounding",
        "a radius rounded to float32 in the wrong direction",
        _PREPARED,
        (("found = cast(grown, dtype, up=True)", "found = cast(grown, dtype, up=False)"),),
    ),
    Mutation(
        "box-rounded-inward",
        "rounding",
        "the ends of a box rounded to float32 the wrong way",
        _PREPARED,
        (
            (
                "Box(cast(lower, dtype, up=False), cast(upper, dtype, up=True))",
                "Box(cast(lower, dtype, up=True), cast(upper, dtype, up=False))",
            ),
        ),
    ),
    Mutation(
        "user-precision-used",
        "rounding",
        "TensorFloat-32 or bfloat16 products, as the user's settings allow",
        "gpu_engine.propagation.precision",
        (
            (
                "with torch.autocast(device_type=device.type, enabled=False), _ieee_products():",
                "with contextlib.nullcontext():",
            ),
        ),
    ),
)
