"""One corruption checked by the kernel, and the kernel's answer judged."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from refcert.kernel.check import Result, Verdict, check
from refcert.kernel.errors import UnreadableError
from tests.certificates.corruption_doubts import contradiction
from tests.certificates.corruption_seeds import CERTIFICATE, Seed, draft_of, unpacked
from tests.certificates.corruptions import KINDS, Corruption, Kind, corrupted

UNREADABLE, SAME, OTHER = "UNREADABLE", "VALID, same claim", "VALID, other claim, true"
WRONG, CRASHED, OVER = "WRONG", "CRASHED", "OVER BUDGET"
WORDS: Final = (UNREADABLE, "INVALID", "HOLEY", SAME, OTHER, WRONG, CRASHED, OVER)
BAD: Final = (WRONG, CRASHED, OVER)

# Seconds of CPU time that a check may take, and how far it may go beyond them before it looks at its clock again.
BUDGET: Final = 5.0
GRACE: Final = 1.0

# A margin that no row reaches; the number that the kernel gives instead is what a forger would claim.
TOO_LARGE: Final = 1e300
FORGERIES: Final = 4
SHARES: Final = (1.001, 0.9, 0.1)


class Outcome(NamedTuple):
    """What became of a corruption. word: one of WORDS; said: the kernel's reason, or the judge's."""

    number: int
    kind: str
    seed: str
    word: str
    seconds: float
    said: str
    files: dict[str, bytes] | None = None


def outcome(number: int, seed: int, certificates: Sequence[Seed], kinds: Sequence[Kind] = KINDS) -> Outcome:
    """Corrupt, check, judge."""
    made = corrupted(number, seed, certificates, kinds)
    folder = Path(tempfile.mkdtemp(prefix="corruption-"))
    try:
        return judged(made, folder)
    finally:
        shutil.rmtree(folder)


def judged(made: Corruption, folder: Path) -> Outcome:
    """The judge's word; of the checks that a forgery takes, the last one counts, and the longest time."""
    longest = 0.0
    for _ in range(FORGERIES if made.forged else 1):
        word, said, result, seconds = one_check(made, folder)
        longest = max(longest, seconds)
        if not made.forged or not claim_what_follows(made, result):
            break
    files = made.work.files() if word in BAD else None
    return Outcome(made.number, made.kind, made.work.seed.name, word, longest, said, files)


def one_check(made: Corruption, folder: Path) -> tuple[str, str, Result | None, float]:
    """(word, reason, the kernel's result if there is one, seconds of CPU time)."""
    if made.forged and made.margin is None:
        made.set_margin(TOO_LARGE)
    write(made, folder)
    budget = BUDGET if made.work.seconds is None else made.work.seconds
    began = time.process_time()
    try:
        result = check(folder / CERTIFICATE, budget)
    except UnreadableError as error:
        return late(UNREADABLE, str(error), None, began, budget)
    except Exception as error:  # whatever it is, it is what is looked for
        return late(CRASHED, f"{type(error).__name__}: {error}", None, began, budget)
    word, said, result, seconds = late(result.verdict.value, result.reason, result, began, budget)
    if word == Verdict.VALID.value:
        word, said = of_valid(folder / CERTIFICATE, result, {made.work.seed.claim})
    return word, said, result, seconds


def late(
    word: str, said: str, result: Result | None, began: float, budget: float
) -> tuple[str, str, Result | None, float]:
    seconds = time.process_time() - began
    if seconds > budget + GRACE and word != CRASHED:
        return OVER, f"{seconds:.1f} s instead of {budget:g}; {word}: {said}", result, seconds
    return word, said, result, seconds


def write(made: Corruption, folder: Path) -> None:
    """The corruption's files, and nothing else."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    for name, data in made.work.files().items():
        (folder / name).write_bytes(data)
    if made.work.folder is not None:
        made.work.folder(folder)


def of_valid(path: Path, result: Result, honest: Container[str]) -> tuple[str, str]:
    """Is it the very claim that an honest certificate proves? Else: is it signed, and does nothing speak against it?

    honest: the digests of such claims.
    """
    try:
        files = {path.name: path.read_bytes()}
        network = unpacked(files[path.name])[0]["network"]
        if "file" in network:
            files[network["file"]] = (path.parent / network["file"]).read_bytes()
        draft, named = draft_of(files), draft_of(files)
        named.digest()
        named.claim()
    except Exception as error:
        return WRONG, f"a second reader cannot read it: {type(error).__name__}: {error}"
    found = named.body["claim"]
    if draft.body["network"]["digest"] != named.body["network"]["digest"]:
        return WRONG, "the network has another digest"
    if draft.body["claim"] != found or result.claim.digest != found:
        return WRONG, "the claim has another digest"
    if found in honest:
        return SAME, ""
    against = contradiction(path, draft)
    return (OTHER, "") if against is None else (WRONG, against)


def claim_what_follows(made: Corruption, result: Result | None) -> bool:
    """Lower a forgery's margin to what the kernel says that its steps give; False where there is nothing to lower.

    Of balls that a range cuts the kernel does not say what follows: then shares of the seed's margin are tried.
    """
    if result is None or result.verdict is Verdict.VALID or not (result.rule or "").startswith("margin"):
        return False
    assert made.margin is not None
    derived = result.witness.get("derived")
    if isinstance(derived, float):
        margin = math.nextafter(derived, -math.inf)
    else:
        honest = float.fromhex(made.work.seed.copy().body["margin"])
        margin = next((share * honest for share in SHARES if share * honest < made.margin), 0.0)
    if not 0 < margin < made.margin:
        return False
    made.set_margin(margin)
    return True
