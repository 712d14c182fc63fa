"""Coverage-guided fuzzing of the kernel: reader and checker, with atheris (`tox -e fuzz`).

    python -m tests.certificates.fuzz_kernel FOLDER [--found FOLDER] [libFuzzer's flags]
    python -m tests.certificates.fuzz_kernel --seeds FOLDER

FOLDER holds the corpus; --seeds writes the small certificates that it begins with. An input is a certificate, beside
which lies the network file of the corpus. Three of four mutations take it to pieces, change what they are made of
(`tests/certificates/corruptions.py`), perhaps sign it again, and pack it, so that the fuzzer gets behind the reader and
the digests; the others are libFuzzer's own, of bytes. What goes wrong is written to the folder of --found, one file for
each place, and the run goes on: an exception that is no UnreadableError, a VALID that is contradicted
(`tests/certificates/corruption_doubts.py`), a check far beyond its budget.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["refcert.kernel"]):
    from refcert.kernel.check import Verdict, check
    from refcert.kernel.errors import UnreadableError

from tests.certificates import corruption_trial as trial
from tests.certificates.corruption_seeds import BLOCKS, CERTIFICATE, DIAGONALS, PLANS, TINY, Seed, draft_of, seed
from tests.certificates.corruptions import KINDS, Kind, Work, signed_again
from tests.certificates.tiny_certificates import NETWORK_FILE, Draft, encode

# Kinds that need more than the one file, or would only make it long.
LEFT_OUT = (
    *("bits flipped in the network's file", "another network", "hostile network file", "hostile certificate file"),
    *("large", "short of time"),
)
CHOSEN = [kind for kind in KINDS if kind.name not in LEFT_OUT]
# Seconds: the budget of a check, and how far beyond it is too far.
BUDGET, GRACE = 2.0, 2.0
OF_BYTES = 0.25
# The one seed whose network lies in a file.
WITH_FILE = "tanh, every"


def embedded(draft: Draft) -> Draft:
    """The same certificate with the weights inside, as F64."""
    if draft.file is not None:
        for name, table in draft.file.items():
            table.dtype = "F64"
            draft.tensors[f"network.{name}"] = table
        draft.body["network"] = {"digest": draft.body["network"]["digest"], "structure": draft.structure}
        draft.file, draft.file_body = None, {}
    return draft


def beginnings() -> dict[str, bytes]:
    """Small certificates by name, and the network file."""
    found = {}
    for k, name in enumerate((*TINY, *PLANS, *DIAGONALS, *BLOCKS)):
        one = seed(name)
        draft = embedded(one.copy())
        found[f"seed-{k:02d}"] = encode(draft.body, draft.tensors)
        if name == WITH_FILE:
            found["seed-with-file"] = one.files[CERTIFICATE]
            found[NETWORK_FILE] = one.files[NETWORK_FILE]
    return found


class Fuzzer:
    """Mutations and checks. folder: where the file to be checked is put; found: where the bad ones go."""

    def __init__(self, folder: Path, network: bytes, found: Path) -> None:
        self.path, self.network, self.found = folder / CERTIFICATE, network, found
        (folder / NETWORK_FILE).write_bytes(network)
        self.honest = {draft_of(self.files(data)).body["claim"] for data in beginnings().values() if data != network}
        found.mkdir(parents=True, exist_ok=True)

    def files(self, data: bytes) -> dict[str, bytes]:
        return {CERTIFICATE: data, NETWORK_FILE: self.network}

    def mutate(self, data: bytes, largest: int, number: int) -> bytes:
        """Another input made of this one."""
        draw = random.Random(number)
        if draw.random() >= OF_BYTES:
            made = self.rebuilt(data, draw)
            if made is not None and len(made) <= largest:
                return made
        return atheris.Mutate(data, largest)

    def rebuilt(self, data: bytes, draw: random.Random) -> bytes | None:
        """The certificate taken to pieces, changed and packed again; None where it has come to be none."""
        try:
            files = self.files(data)
            work = Work(Seed("", files, b"", "", 0), (), draft_of(files), draw)
            for _ in range(draw.choice((1, 1, 2, 4))):
                kind: Kind = draw.choices(CHOSEN, [one.weight for one in CHOSEN])[0]
                kind.change(work)
            if draw.random() < 0.6:
                signed_again(work.draft)
            return work.files()[CERTIFICATE]
        except Exception:  # a draft that earlier mutations have made strange
            return None

    def one_input(self, data: bytes) -> None:
        """Check it. Nothing is raised: what is found is written down."""
        self.path.write_bytes(data)
        began = time.process_time()
        try:
            result = check(self.path, BUDGET)
        except UnreadableError:
            result = None
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            self.keep(data, f"{type(error).__name__}-{Path(last.filename).stem}-{last.name}", traceback.format_exc())
            return
        if time.process_time() - began > BUDGET + GRACE:
            self.keep(data, "over-budget", f"{time.process_time() - began:.1f} s")
        if result is not None and result.verdict is Verdict.VALID:
            word, said = trial.of_valid(self.path, result, self.honest)
            if word == trial.WRONG:
                self.keep(data, "wrong-" + hashlib.sha256(said.encode()).hexdigest()[:8], said)

    def keep(self, data: bytes, name: str, said: str) -> None:
        """The smallest input of each name, and what was said of it."""
        path = self.found / name
        if not path.exists() or path.stat().st_size > len(data):
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(said, errors="backslashreplace")
            sys.stderr.write(f"FOUND {name}: {said.strip().splitlines()[-1]}\n")


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--seeds"]:
        folder = Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in beginnings().items():
            (folder / name).write_bytes(data)
        return
    found = Path("fuzz-found")
    if "--found" in arguments:
        at = arguments.index("--found")
        found = Path(arguments[at + 1])
        del arguments[at : at + 2]
    corpus = next(Path(one) for one in arguments if not one.startswith("-"))
    with tempfile.TemporaryDirectory() as name:
        fuzzer = Fuzzer(Path(name), (corpus / NETWORK_FILE).read_bytes(), found)
        atheris.Setup([sys.argv[0], *arguments], fuzzer.one_input, custom_mutator=fuzzer.mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
