"""A tiny model with its data in a folder of their own, and `refcert certify` on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_engine.inputs import FrameBalls
from gpu_engine.loading import load_model
from tests.app.commands import refcert
from tests.app.tiny import save_data, save_model, values

RADIUS = 0.05
AT = ("--radius", str(RADIUS))


class Tiny:
    """A model and its data in a folder of their own."""

    def __init__(self, folder: Path, kind: str = "lstm", readout: str | None = None, **options: Any) -> None:
        if options.get("bidirectional") and readout is None:
            readout = "final"  # a file does not say what the head of such a layer reads
        self.folder = folder
        self.model = save_model(folder / "m.safetensors", kind, **options)
        self.network = load_model(self.model, readout=readout)
        self.more = () if readout is None else ("--readout", readout)
        self.data(x=values())

    def data(self, **arrays: np.ndarray) -> None:
        self.arrays = arrays
        save_data(self.folder / "d.npz", self.network, **arrays)
        with np.load(self.folder / "d.npz") as stored:
            self.labels = torch.from_numpy(stored["labels"])
        self.x = torch.from_numpy(arrays["x"])

    def command(self, *options: object) -> tuple[object, ...]:
        given = ("--model", self.model, "--data", self.folder / "d.npz", *self.more)
        return ("certify", *given, "--workers", 1, "--json", *options)

    def run(self, *options: object) -> dict[str, Any]:
        return refcert(*self.command(*options)).json

    def margins(self, *options: object) -> list[float]:
        return [row["margin"] for row in self.run(*options)["samples"]]

    def balls(self, radius: float | torch.Tensor = RADIUS, **options: Any) -> FrameBalls:
        return FrameBalls(self.x, torch.ones(self.x.shape[:2]).double() * radius, **options)
