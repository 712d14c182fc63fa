"""CPU seconds and memory of the kernel, in a process that has loaded nothing but the kernel.

    python -m benchmarks.kernel_timing FILE...

For each certificate a line of JSON: its outcome, the CPU seconds of reading and replaying it, and the most memory that
the process had taken by then. The network is read with the first file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from refcert.kernel.__main__ import UNREADABLE
from refcert.kernel.check import check
from refcert.kernel.errors import UnreadableError
from refcert.kernel.network import Network


def peak_memory() -> int | None:
    """The largest resident size of this process in bytes, where the system says it (Linux).

    Not `getrusage`, which counts what the process that started this one had taken.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def timed(path: Path, known: dict[str, Network]) -> dict[str, object]:
    """The outcome of one certificate, see the module's docstring."""
    began = time.process_time()
    try:
        result = check(path, None, known)
        outcome = {"verdict": str(result.verdict), "step": result.step, "rule": result.rule, "reason": result.reason}
    except UnreadableError as error:
        outcome = {"verdict": UNREADABLE, "step": None, "rule": None, "reason": str(error)}
    return {"file": str(path), **outcome, "seconds": time.process_time() - began, "peak": peak_memory()}


def main() -> None:
    known: dict[str, Network] = {}
    for name in sys.argv[1:]:
        print(json.dumps(timed(Path(name), known)), flush=True)


if __name__ == "__main__":
    main()
