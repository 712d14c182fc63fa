"""What became of one file: the kernel's verdict, or why there is none. Worker processes import this, and no torch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from refcert.app.certificates.files import Found
from refcert.app.certificates.reading import is_network, why_unreadable
from refcert.kernel.__main__ import UNREADABLE
from refcert.kernel.check import Certificate, Verdict, read_certificate, replay
from refcert.kernel.container import read_bytes
from refcert.kernel.errors import UnreadableError
from refcert.kernel.network import Network
from refcert.kernel.state import Budget

OTHER_NETWORK: Final = "OTHER NETWORK"
"""A certificate about another network than the one that was demanded; it was not checked."""

WORDS: Final = (Verdict.VALID.value, Verdict.INVALID.value, Verdict.HOLEY.value, UNREADABLE, OTHER_NETWORK)

# Networks that a process keeps for the certificates to come; a folder of a thousand networks shall not fill the memory.
_KEPT: Final = 4


@dataclass(frozen=True)
class Asked:
    """A file, and what is asked of it. seconds: its budget; network: the digest that is demanded."""

    file: Found
    seconds: float | None = None
    network: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A file's verdict, one of `WORDS`. sha256: of the file as it was checked; claim, network: digests.

    step, rule, reason, witness: as the kernel gives them; None and empty for VALID. seconds: of wall time.
    """

    file: Found
    verdict: str
    sha256: str | None = None
    claim: str | None = None
    network: str | None = None
    margin: float | None = None
    step: int | None = None
    rule: str | None = None
    reason: str = ""
    witness: Mapping[str, object] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """See docs/json.md."""
        return {
            "path": str(self.file.path),
            "verdict": self.verdict,
            "claim": self.claim,
            "network": self.network,
            "margin": self.margin,
            "step": self.step,
            "rule": self.rule,
            "reason": self.reason or None,
            "witness": {name: _plain(value) for name, value in self.witness.items()} or None,
            "sha256": self.sha256,
            "seconds": round(self.seconds, 6),
        }


def check_file(asked: Asked, known: dict[str, Network]) -> Outcome | None:
    """Check one file; whatever happens, there is an outcome. None: a network's file that lies in a folder.

    known: networks that were read before.
    """
    began = time.perf_counter()
    found = _outcome(asked, known)
    if len(known) > _KEPT:
        known.clear()
    return None if found is None else replace(found, seconds=time.perf_counter() - began)


def given_up(asked: Asked, reason: str, seconds: float) -> Outcome:
    """HOLEY: the process that checked the file did not get to an answer."""
    return Outcome(asked.file, Verdict.HOLEY.value, reason=reason, seconds=seconds)


def _outcome(asked: Asked, known: dict[str, Network]) -> Outcome | None:
    file, path = asked.file, asked.file.path
    budget = Budget(asked.seconds)
    found = Outcome(file, Verdict.HOLEY.value)
    try:
        found = replace(found, sha256=_sha256(path))  # also of what cannot be read as a certificate
        certificate = read_certificate(path, known)
        mark, claim = certificate.sha256, certificate.claim()
        found = replace(found, sha256=mark, claim=claim.digest, network=claim.network, margin=claim.margin)
        if asked.network not in (None, claim.network):
            reason = f"it is about the network {claim.network}, not about {asked.network}, which --network demands"
            return replace(found, verdict=OTHER_NETWORK, reason=reason)
        result = _replayed(found, certificate, budget)
        if _sha256(path) != mark:
            raise UnreadableError("was changed while it was checked; check it again")
        return result
    except (UnreadableError, OSError) as error:
        if file.folder is not None and is_network(path):
            return None
        return Outcome(file, UNREADABLE, sha256=found.sha256, reason=why_unreadable(path, error))
    except MemoryError:
        known.clear()
        return replace(found, reason="there is not enough memory; allow more with --memory")
    except Exception as error:
        # Never VALID, and never the end of the other files' checks.
        return replace(found, reason=f"a fault of the kernel ({type(error).__name__}: {error}); please report it")


def _replayed(found: Outcome, certificate: Certificate, budget: Budget) -> Outcome:
    result = replay(certificate, budget)
    return replace(
        found,
        verdict=result.verdict.value,
        step=result.step,
        rule=result.rule,
        reason=result.reason,
        witness=result.witness,
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _plain(value: object) -> object:
    """A witness's value in JSON, which has neither NaN nor infinity."""
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
