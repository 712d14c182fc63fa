"""The folder of a fine-tuning run. Nothing half-written is ever visible, and no file is a pickle.

request.json                    what was asked, digests of network and data, versions
before.json                     metrics of the network as it was
rounds/round-0001.safetensors         the network after the round (`refcert certify` reads it)
rounds/round-0001.state.safetensors   weights, moments of Adam, generator: what the next round depends on
rounds/round-0001.json                radius, losses, digest of the state; written last: then the round counts
model.safetensors               the network after the last round; of a user's own module also module.safetensors
summary.json                    written last
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from gpu_engine.model import RecurrentClassifier
from gpu_engine.saving import model_bytes
from gpu_engine.training.finetune import Round, State
from refcert.app.errors import InputError
from refcert.app.storage import json_bytes, read_json, write_file

ROUNDS: Final = "rounds"
_DONE: Final = re.compile(r"round-([0-9]{4,})\.json")


@dataclass(frozen=True)
class FinetuneFolder:
    """A run on disk."""

    path: Path

    def write_round(self, done: Round, model: RecurrentClassifier, state: State, made: str) -> None:
        """The checkpoint of a round; made: what the run is, for the model's file."""
        content = save(state.tensors)
        write_file(self._file(done.number, ".safetensors"), model_bytes(model, {"made": made}))
        write_file(self._file(done.number, ".state.safetensors"), content)
        record = {"state_sha256": hashlib.sha256(content).hexdigest(), **asdict(done)}
        write_file(self._file(done.number, ".json"), json_bytes(record))

    def rounds(self) -> list[dict[str, Any]]:
        """The records of the rounds that are done. Raises InputError where one in between is missing."""
        folder = self.path / ROUNDS
        numbers = sorted(int(match[1]) for file in folder.glob("*.json") if (match := _DONE.fullmatch(file.name)))
        if numbers != list(range(1, len(numbers) + 1)):
            raise InputError(f"{folder} has the rounds {numbers}; one is missing, start anew in another --out")
        return [read_json(self._file(number, ".json")) for number in numbers]

    def last_state(self) -> State | None:
        """What the next round begins with, None where none is done. Raises InputError where it is damaged."""
        records = self.rounds()
        if not records:
            return None
        path = self._file(len(records), ".state.safetensors")
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != records[-1]["state_sha256"]:
                raise ValueError("it is not the file that was written")
            tensors = load(content)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            remedy = f"delete {self._file(len(records), '.json').name} beside it, and --resume repeats the round"
            raise InputError(f"{path} cannot be read ({error}); {remedy}") from error
        return State(tensors, len(records))

    def before(self) -> dict[str, Any] | None:
        """Metrics before training, None where they are not measured yet."""
        path = self.path / "before.json"
        return read_json(path) if path.is_file() else None

    def write_before(self, metrics: dict[str, Any]) -> None:
        write_file(self.path / "before.json", json_bytes(metrics))

    def write_result(self, model: RecurrentClassifier, module: nn.Module | None, made: str) -> Path:
        """The trained network; of a module also its own state dict."""
        path = self.path / "model.safetensors"
        write_file(path, model_bytes(model, {"made": made}))
        if module is not None:
            own = {name: value.detach().clone().contiguous() for name, value in module.state_dict().items()}
            write_file(self.path / "module.safetensors", save(own))
        return path

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_file(self.path / "summary.json", json_bytes(summary))

    def _file(self, number: int, suffix: str) -> Path:
        return self.path / ROUNDS / f"round-{number:04d}{suffix}"
