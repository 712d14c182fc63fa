"""An examiner that a certain plane kills; in a file without heavy imports, because each new process reads it."""

from __future__ import annotations

import os
import signal

from refcert.audit.examine import examine

DEADLY = 0.125


def deadly(claims, questions, first):
    """Kills its own process, as the kernel's out-of-memory killer would, where a plane has the offset DEADLY."""
    if any(claim.offset == DEADLY for claim in claims):
        os.kill(os.getpid(), signal.SIGKILL)
    return examine(claims, questions, first)
