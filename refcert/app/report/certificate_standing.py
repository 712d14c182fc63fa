"""What is known about one certificate: its verdict, and whether that still says anything about the result.

A verdict is about a file's content and a claim. It counts only beside a file that still has the SHA-256 that was
checked, and for a result that rests on this very claim about this very network. Nothing is replayed here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from refcert.app.certificates.files import FOLDER, SUFFIX
from refcert.app.certificates.verdicts import FORMAT, NAME, verdicts_path
from refcert.kernel.__main__ import UNREADABLE
from refcert.kernel.check import Verdict
from refcert.kernel.container import MAX_HEADER, read_bytes
from refcert.kernel.errors import UnreadableError

# The container's first bytes: its header's length (certificate_v1.md, section 2).
_LENGTH: Final = 8
# Digits of a digest that tell two apart for a reader.
_SHOWN: Final = 12


class Standing(StrEnum):
    """What is known about a certificate, the worst news first; only VALID proves anything."""

    INVALID = "INVALID"
    OTHER = "of another claim"
    CHANGED = "changed"
    MISSING = "file missing"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    HOLEY = "HOLEY"
    UNCHECKED = "not checked"
    NONE = "no certificate"
    VALID = "VALID"


SEVERITY: Final = tuple(Standing)

MEANINGS: Final[Mapping[Standing, str]] = {
    Standing.INVALID: "a step does not follow by its rule, so the result is not proved",
    Standing.OTHER: "the certificate, or the verdict on it, is about another question or network than the result",
    Standing.CHANGED: "the file is no longer the one that was checked; check again",
    Standing.MISSING: "the results name a certificate that is gone; delete its part of the results and certify with "
    "--resume, which writes it again",
    Standing.UNREADABLE: "the file is no certificate, or cannot be read",
    Standing.DAMAGED: "what is said of the certificate makes no sense; check again",
    Standing.HOLEY: "a step could not be decided: precision, time or memory ran out, or its rule is unknown; check "
    "again with more time and memory",
    Standing.UNCHECKED: "there is no verdict on it yet, or none that can be read; check it",
    Standing.NONE: "the engine proved it, but there is no certificate that the kernel could check",
    Standing.VALID: "proved by the kernel",
}


@dataclass(frozen=True)
class Certificate:
    """One question's. file: its name, also where there is none; reason: why it is not VALID; kernel: which said so."""

    file: str
    standing: Standing
    reason: str = ""
    kernel: str = ""


@dataclass(frozen=True)
class Verdicts:
    """A run's `verdicts.json`: entries by file name, as they stand there. problem: why there are none."""

    files: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class Files:
    """The names in a run's folder of certificates. problem: why they are not known."""

    folder: Path
    names: Collection[str]
    problem: str = ""


@dataclass(frozen=True)
class _Said:
    """An entry of verdicts.json whose values have the right form."""

    sha256: str | None
    verdict: str
    claim: str | None
    kernel: str


def read_verdicts(run: Path) -> Verdicts:
    """Whatever the file is, nothing is raised: verdicts that cannot be read are no verdicts."""
    path = verdicts_path(run)
    if not os.path.lexists(path):
        return Verdicts({})
    try:
        stored = json.loads(read_bytes(Path(os.path.realpath(path))), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return Verdicts({}, f"{NAME} cannot be read ({_why(error)})")
    files = stored.get("files") if isinstance(stored, dict) and stored.get("format") == FORMAT else None
    if not isinstance(files, dict):
        return Verdicts({}, f"{NAME} is not of format {FORMAT}, which this version reads")
    return Verdicts(files)


def list_files(run: Path) -> Files:
    """What lies in the run's folder of certificates."""
    folder = run / FOLDER
    try:
        return Files(folder, frozenset(os.listdir(folder)))  # noqa: PTH208 - names alone, of thousands of files
    except OSError as error:
        return Files(folder, frozenset(), f"the folder {FOLDER}/ cannot be listed ({_why(error)})")


def certificate_of(name: str, claim: object, network: str, files: Files, verdicts: Verdicts) -> Certificate:
    """The certificate of a question. name: its file's, without suffix; claim: the digest in the results, or None;
    network: the digest of the run's model."""
    file = name + SUFFIX
    if claim is None:
        return Certificate(file, Standing.NONE, "the results name no certificate")
    if file not in files.names:
        return Certificate(file, Standing.MISSING, f"the results name it, but it is not in {FOLDER}/")
    if file not in verdicts.files:
        return Certificate(file, Standing.UNCHECKED, verdicts.problem or f"{NAME} does not have it")
    said = _said(verdicts.files[file])
    if said is None:
        return Certificate(file, Standing.DAMAGED, f"what {NAME} says of it is no verdict")
    try:
        content = read_bytes(files.folder / file)
    except (OSError, UnreadableError, MemoryError) as error:
        return Certificate(file, Standing.UNREADABLE, _why(error))
    if said.sha256 is not None and hashlib.sha256(content).hexdigest() != said.sha256:
        return Certificate(file, Standing.CHANGED, "its SHA-256 is not the one of the file that was checked")
    if said.verdict != Verdict.VALID:
        return Certificate(file, Standing[said.verdict], _NOT_VALID[said.verdict])
    other = _other(said, claim, network, content)
    return Certificate(file, Standing.OTHER, other) if other else Certificate(file, Standing.VALID, kernel=said.kernel)


_NOT_VALID: Final[Mapping[str, str]] = {
    Verdict.INVALID: "a step does not follow by its rule",
    Verdict.HOLEY: "a step could not be decided",
    UNREADABLE: "it is no certificate of version 1, or its network's file was not there",
}
"""The verdicts besides VALID that a certificate can have."""


def _said(entry: object) -> _Said | None:
    """An entry of verdicts.json, None where it is none. Only a file that was read can have been VALID."""
    if not isinstance(entry, dict):
        return None
    sha256, verdict, claim, kernel = (entry.get(key) for key in ("sha256", "verdict", "claim", "kernel"))
    if not isinstance(verdict, str) or not isinstance(kernel, str) or not (verdict in _NOT_VALID or verdict == "VALID"):
        return None
    whole = isinstance(sha256, str) and isinstance(claim, str)
    if not (whole or (verdict != Verdict.VALID and isinstance(sha256, str | None) and isinstance(claim, str | None))):
        return None
    return _Said(sha256, verdict, claim, kernel)


def _other(said: _Said, claim: object, network: str, content: bytes) -> str:
    """What a VALID certificate is about, if that is not this claim about this network; else empty."""
    if said.claim != claim:
        return f"the verdict is about the claim {_short(said.claim)}, the result is {_short(claim)}"
    found = _named(content)
    if found is None:
        return f"{NAME} calls it VALID, but the file names no claim"
    if found[0] != claim:
        return f"the file claims {_short(found[0])}, the result is {_short(claim)}"
    if found[1] != network:
        return f"it is about the network {_short(found[1])}, the run's is {_short(network)}"
    return ""


def _named(content: bytes) -> tuple[object, object] | None:
    """The digests of claim and network that the file names. It was read strictly when it was checked."""
    end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    if end > _LENGTH + MAX_HEADER:
        return None
    try:
        body = json.loads(json.loads(content[_LENGTH:end])["__metadata__"]["refcert"])
        return body["claim"], body["network"]["digest"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two verdicts on one file, none is to be believed."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is repeated")
    return found


def _short(digest: object) -> str:
    return f"{str(digest)[:_SHOWN]}..."


def _why(error: BaseException) -> str:
    """The reason without the path, which another machine does not have."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return cause.strerror or "error" if isinstance(cause, OSError) else str(error) or type(error).__name__
