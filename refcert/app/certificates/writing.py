"""`refcert certify --certificates`: one file for each question that is proved, in the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from torch import Tensor

from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import BoundedBatch
from refcert.app.certificates.files import FOLDER, SUFFIX
from refcert.app.questions import Asked
from refcert.app.storage import write_file

NETWORK_FILE: Final = "network" + SUFFIX


class RunCertificates:
    """Writes the certificates of a run. data: the name of its data, for people who read a certificate."""

    def __init__(self, run: Path, model: RecurrentClassifier, data: str) -> None:
        self.folder = run / FOLDER
        self.network = Network(model, NETWORK_FILE)
        self.data = data

    def write_network(self) -> None:
        """The weights, once for all certificates."""
        write_file(self.folder / NETWORK_FILE, self.network.content())

    def part(self, asked: Asked, first_index: int) -> PartCertificates:
        """Those of a part's questions; first_index: its first sample's place in the data."""
        return PartCertificates(self, asked, first_index)


class PartCertificates:
    """Certificates of one part. claims: the claim's digest by question, where there is a certificate."""

    def __init__(self, run: RunCertificates, asked: Asked, first_index: int) -> None:
        self.run, self.asked, self.first_index = run, asked, first_index
        self.claims: dict[int, str] = {}

    def add(self, batch: BoundedBatch, wanted: Tensor) -> None:
        """Write those of a batch that are wanted and proved; wanted (batch,) bool."""
        certificates = Certificates(batch, self.run.network)
        for k, (question, margin) in enumerate(zip(batch.samples.tolist(), certificates.margins, strict=True)):
            if not (margin > 0 and bool(wanted[k])):
                continue
            name = self._name(question)
            about = {"sample": name, "data": self.run.data, "written by": f"refcert {version('refcert')}"}
            write_file(self.run.folder / (name + SUFFIX), certificates.write(k, about))
            self.claims[question] = certificates.claim(k)

    def of(self, questions: Iterable[int]) -> list[str | None]:
        """The claims of these questions, None where nothing was proved."""
        return [self.claims.get(question) for question in questions]

    def _name(self, question: int) -> str:
        name = f"sample-{self.first_index + int(self.asked.sample[question]):05d}"
        if self.asked.frame is not None:
            name += f"-frame-{int(self.asked.frame[question]):03d}"
        if self.asked.target is not None:
            name += f"-target-{int(self.asked.target[question])}"
        return name
