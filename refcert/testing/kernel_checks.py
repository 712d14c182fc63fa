"""Certificates of proved samples, written and replayed by the kernel while an assertion runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

from gpu_engine.certificates.network import Network as NetworkFile
from gpu_engine.certificates.writer import Certificates
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import BatchSink, BoundedBatch
from refcert.kernel.check import Verdict, check
from refcert.kernel.network import Network
from refcert.testing.budget import Clock

_NETWORK = "network.safetensors"


class KernelChecks:
    """wanted: False, True, or the folder in which the certificates stay. Use as a context manager."""

    def __init__(self, model: RecurrentClassifier, wanted: bool | str | Path) -> None:
        self.wanted = wanted is not False
        self._temporary = tempfile.TemporaryDirectory() if wanted is True else None
        self._waiting: dict[int, Path] = {}
        self._known: dict[str, Network] = {}
        self._holes: dict[int, str] = {}
        if not self.wanted:
            return
        self.folder = Path(self._temporary.name if self._temporary is not None else str(wanted))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = NetworkFile(model, _NETWORK)
        (self.folder / _NETWORK).write_bytes(self.network.content())

    def __enter__(self) -> KernelChecks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def sink(self, numbers: list[int]) -> BatchSink | None:
        """What writes the certificates of these samples, in the order of the call; None where nobody wants them."""
        return (lambda batch: self._write(batch, numbers)) if self.wanted else None

    def forget(self, numbers: list[int]) -> None:
        """Of samples that will be bounded again."""
        for number in numbers:
            self._waiting.pop(number, None)

    def objections(self, clock: Clock) -> dict[int, str] | None:
        """Of the certificates written since the last call: samples that are not VALID, and why; None if time is up."""
        found, self._holes = self._holes, {}
        waiting, self._waiting = self._waiting, {}
        for number, path in waiting.items():
            if clock.over:
                return None
            result = check(path, clock.left, self._known)
            if result.verdict is Verdict.HOLEY and _spent(clock):
                return None
            if result.verdict is not Verdict.VALID:
                found[number] = (
                    f"the kernel says {result.verdict} at step {result.step} ({result.rule}): {result.reason}"
                )
        return found

    def _write(self, batch: BoundedBatch, numbers: list[int]) -> None:
        certificates = Certificates(batch, self.network)
        lower = batch.specification.margins(batch.bounds.lower)
        for k, sample in enumerate(batch.samples.tolist()):
            number = numbers[sample]
            if certificates.margins[k] > 0:
                path = self.folder / f"sample-{number:05d}.safetensors"
                path.write_bytes(certificates.write(k, {"sample": str(number)}))
                self._waiting[number] = path
            elif float(lower[k]) > 0:
                self._holes[number] = "the margin is too small for a certificate"


def _spent(clock: Clock) -> bool:
    """Asked again, after time has passed."""
    return clock.over
