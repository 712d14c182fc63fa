"""What a run is asked to do, checked once at the boundary."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from gpu_engine.errors import SpecificationError
from gpu_engine.spec import check_clip, check_norm
from refcert.app.errors import InputError

# Whole norms below are written without a point or exponent.
_PLAIN = 1e6


@dataclass(frozen=True)
class Request:
    """The question of `refcert certify`. norm: p as a float. radius: None asks for a search.

    frames: 'all', 'each', or frame numbers such as '0,3'. target: 'untargeted', 'all' or a class number.
    """

    model: str
    data: str
    count: int | None
    norm: float
    radius: float | None
    frames: str
    clip: tuple[float, float] | None
    target: str
    relaxation: str
    dtype: str
    device: str
    batch_size: int
    tolerance: float
    seed: int

    def __post_init__(self) -> None:
        try:
            check_norm(self.norm)
            if self.clip is not None:
                check_clip(self.clip)
        except SpecificationError as error:
            raise InputError(str(error)) from error
        if self.radius is not None and not (self.radius >= 0 and math.isfinite(self.radius)):
            raise InputError(f"radius is {self.radius}; give a finite number >= 0, in the unit of the data")
        if self.count is not None and self.count < 1:
            raise InputError(f"count is {self.count}; give at least one sample")
        if self.batch_size < 1:
            raise InputError(f"batch size is {self.batch_size}; give at least one sample")
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance is {self.tolerance}; give a number between 0 and 1, say 0.001")
        if self.frames == "each" and self.target == "all":
            raise InputError("--frames each with --target all asks for a table per sample; choose one of them")
        self.frame_numbers(None)
        self.target_class(None)

    @property
    def search(self) -> bool:
        return self.radius is None

    def frame_numbers(self, time: int | None) -> list[int] | None:
        """The chosen frames, None for all or each; checked against the data's frames once they are known."""
        if self.frames in ("all", "each"):
            return None
        parts = [part.strip() for part in self.frames.split(",")]
        if parts == [""]:
            raise InputError("--frames is empty; give 'all', 'each' or frame numbers such as 0,3")
        try:
            numbers = [int(part) for part in parts]
        except ValueError as error:
            raise InputError(
                f"--frames {self.frames!r} is not a list of frame numbers; give 'all', 'each' or e.g. 0,3"
            ) from error
        if len(set(numbers)) < len(numbers):
            raise InputError(f"--frames {self.frames!r} names a frame twice; name each frame once")
        last = math.inf if time is None else time - 1
        for number in numbers:
            if not 0 <= number <= last:
                upto = f"0 to {time - 1}" if time is not None else "from 0 on"
                raise InputError(f"--frames names frame {number}; the data has frames {upto}, choose among them")
        return numbers

    def target_class(self, classes: int | None) -> int | None:
        """The target class, None for untargeted or all."""
        if self.target in ("untargeted", "all"):
            return None
        try:
            target = int(self.target)
        except ValueError as error:
            raise InputError(
                f"--target {self.target!r} is not known; give 'untargeted', 'all' or a class number"
            ) from error
        if target < 0 or (classes is not None and target >= classes):
            upto = f"0 to {classes - 1}" if classes is not None else "from 0 on"
            raise InputError(f"--target is class {target}; the model has classes {upto}, choose one of them")
        return target

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; the norm infinity is written as the string 'inf'."""
        plain = asdict(self)
        plain["norm"] = norm_name(self.norm)
        plain["clip"] = list(self.clip) if self.clip is not None else None
        return plain


def parse_norm(text: str) -> float:
    """'inf', '1', '2' or any p >= 1."""
    try:
        p = float(text)
    except ValueError as error:
        raise InputError(f"norm {text!r} is not known; give inf, 1, 2 or any p >= 1") from error
    try:
        check_norm(p)
    except SpecificationError as error:
        raise InputError(str(error)) from error
    return p


def parse_clip(low: str, high: str) -> tuple[float, float]:
    """The range of two numbers."""
    try:
        return float(low), float(high)
    except ValueError as error:
        raise InputError(f"--clip {low!r} {high!r} are not two numbers; give the valid range, e.g. 0 1") from error


def norm_name(p: float) -> str:
    """'inf', '2', '1.5': the exact value, so that a resumed run cannot mix two norms."""
    if math.isinf(p):
        return "inf"
    return str(int(p)) if p == int(p) and p < _PLAIN else repr(p)
