"""What a run is asked to do, checked once at the boundary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import check_clip, check_clip_bound, check_norm, decibel_factor
from gpu_engine.model import READOUTS
from refcert.app.errors import InputError
from refcert.app.options import BALLS, CRITERIA, INPUT_SETS, STORED_SETS, completed
from refcert.app.sizes import parse_memory

__all__ = ["BALLS", "Request", "norm_name", "parse_clip", "parse_memory", "parse_norm"]

# Whole norms below are written without a point or exponent.
_PLAIN = 1e6


@dataclass(frozen=True)
class Request:
    """The question of `refcert certify`. norm: p as a float.

    radius and radius_db (decibel relative to each sample's peak): where both are None, balls ask for a search; sets
    that the data holds have no radius. frames: 'all', 'each', or frame numbers such as '0,3'. target: 'untargeted',
    'all' or a class number. spec: the file of the user's own rows. memory: bytes, None for no limit.
    optimize: steps of ascent for the slopes of every bound, 0 for none. suppose: rounds of proofs by contradiction, 0
    for none.
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
    structure: str | None = None
    readout: str | None = None
    input_set: str = "frames"
    clip_bound: str = "exact"
    radius_db: float | None = None
    top_k: int | None = None
    spec: str | None = None
    criterion: str = "margins"
    memory: int | None = None
    optimize: int = 0
    suppose: int = 0

    def __post_init__(self) -> None:
        try:
            check_norm(self.norm)
            if self.clip is not None:
                check_clip(self.clip)
            check_clip_bound(self.clip_bound)
            if self.radius_db is not None:
                decibel_factor(self.radius_db)
        except SpecificationError as error:
            raise InputError(str(error)) from error
        if self.radius is not None and not (self.radius >= 0 and math.isfinite(self.radius)):
            raise InputError(f"radius is {self.radius}; give a finite number >= 0, in the unit of the data")
        if self.radius is not None and self.radius_db is not None:
            raise InputError(
                f"--radius {self.radius!r} and --radius-db {self.radius_db!r} exclude each other; give one of them"
            )
        if self.count is not None and self.count < 1:
            raise InputError(f"count is {self.count}; give at least one sample")
        if self.batch_size < 1:
            raise InputError(f"batch size is {self.batch_size}; give at least one sample")
        if self.memory is not None and self.memory < 1:
            raise InputError(f"memory is {self.memory} bytes; give a size such as 500MB or 2GB")
        if self.optimize < 0:
            raise InputError(f"--optimize is {self.optimize}; give a number of steps, 0 for none")
        if self.suppose < 0:
            raise InputError(f"--suppose is {self.suppose}; give a number of rounds, 0 for none")
        if self.suppose and (self.criterion != "margins" or self.top_k is not None):
            given = f"--criterion {self.criterion}" if self.criterion != "margins" else f"--top-k {self.top_k}"
            raise InputError(
                f"--suppose {self.suppose} proves rows one by one, each of which has to hold; with {given} they need "
                "not. Leave one of them away"
            )
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance is {self.tolerance}; give a number between 0 and 1, say 0.001")
        if self.readout is not None and self.readout not in READOUTS:
            raise InputError(f"--readout {self.readout!r} is not known; known: {', '.join(READOUTS)}")
        self._check_input_set()
        self._check_question()
        self.frame_numbers(None)
        self.target_class(None)

    def _check_input_set(self) -> None:
        if self.input_set not in INPUT_SETS:
            raise InputError(f"--input-set {self.input_set!r} is not known; known: {', '.join(INPUT_SETS)}")
        if self.clip_bound != "exact" and self.clip is None:
            raise InputError(f"--clip-bound {self.clip_bound} bounds nothing without a range; give --clip LOW HIGH")
        if self.input_set in BALLS:
            return
        arrays = " and ".join(STORED_SETS[self.input_set])
        given = {
            f"--radius {self.radius!r}": self.radius is not None,
            f"--radius-db {self.radius_db!r}": self.radius_db is not None,
            f"--norm {norm_name(self.norm)}": not math.isinf(self.norm),
            "--clip": self.clip is not None,
            f"--frames {self.frames}": self.frames != "all",
        }
        for option, present in given.items():
            if present:
                raise InputError(
                    f"{option} does not go with --input-set {self.input_set}: the set is certified as the data's "
                    f"{arrays} say it; leave the option out, or choose --input-set {' or '.join(BALLS)}"
                )

    def _check_question(self) -> None:
        if self.criterion not in CRITERIA:
            raise InputError(f"--criterion {self.criterion!r} is not known; known: {', '.join(CRITERIA)}")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"--top-k is {self.top_k}; give at least 1")
        if self.spec is not None and not self.spec.strip():
            raise InputError(f"--spec is {self.spec!r}; give an .npz file with C and d")
        if self.structure is not None and not self.structure.strip():
            raise InputError(
                f"--structure is {self.structure!r}; give the layers in order, as 'linear1 relu lstm linear2'"
            )
        asked = {
            "--spec": self.spec is not None,
            "--top-k": self.top_k is not None,
            f"--target {self.target}": self.target != "untargeted",
        }
        given = [option for option, present in asked.items() if present]
        if len(given) > 1:
            raise InputError(f"{given[0]} and {given[1]} ask different questions; give one of them")
        if self.criterion == "per-class" and (self.spec is not None or self.top_k is not None):
            raise InputError(
                f"--criterion per-class bounds the label's score against those of other classes; {given[0]} asks "
                "something else, leave one of them out"
            )
        if self.frames == "each" and self.target == "all":
            raise InputError("--frames each with --target all asks for a table per sample; choose one of them")

    @property
    def search(self) -> bool:
        """Whether the largest radius is searched."""
        return self.radius is None and self.radius_db is None and self.input_set in BALLS

    @property
    def about_label(self) -> bool:
        """Whether the question is about the sample's label, so that a misclassified sample has no positive answer."""
        return self.spec is None

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
        """A plain dictionary; the norm infinity is written as the string 'inf', and null where there is no ball."""
        plain = asdict(self)
        plain["norm"] = norm_name(self.norm) if self.input_set in BALLS else None
        plain["clip"] = list(self.clip) if self.clip is not None else None
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Request:
        """The request of `to_json`, also of a version that knew fewer options. Raises InputError."""
        known = {field.name for field in fields(cls)}
        values = completed(plain)
        for name in sorted(known ^ values.keys()):
            what = "lacks" if name in known else "has the unknown"
            raise InputError(f"the request {what} {name!r}; it is not one of this version")
        values["norm"] = math.inf if plain["norm"] is None else parse_norm(str(plain["norm"]))
        values["clip"] = None if plain["clip"] is None else tuple(plain["clip"])
        return cls(**values)


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
