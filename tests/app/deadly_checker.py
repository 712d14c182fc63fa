"""Works of a process that end it, or never end; in a file without heavy imports, because each new process reads it."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time

import flint

HEAVY = {"torch", "numpy", "scipy", "pyarrow", "sympy", "gpu_engine"}


def work(task):
    """What the task's first word says; the number of the process and the task otherwise."""
    word = task.split()[0]
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "leave":
        os._exit(7)
    if word == "allocate":  # FLINT aborts where it cannot have the memory
        flint.arb_mat(200_000, 200_000)
    if word == "sleep":
        time.sleep(3600)
    if word == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        return None, f"blocked: {signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())}"
    if word == "print":
        os.write(1, b"what FLINT says\n")
    return os.getpid(), task


def heavy(_):
    """Which heavy modules a process of the check has loaded."""
    importlib.import_module("refcert.app.certificates.checking")  # what the work of a check comes from
    return sorted(HEAVY & set(sys.modules))


def given_up(task, reason, seconds):
    return None, f"{task}: {reason}"


class Unreadable:
    """A work that processes cannot even load."""

    def __call__(self, task):
        return task

    def __reduce__(self):
        return os._exit, (5,)
