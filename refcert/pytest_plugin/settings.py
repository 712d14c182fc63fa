"""The options of a test session, checked once when pytest is configured."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

import pytest

from refcert.pytest_plugin.profiles import PROFILES

RANDOM: Final = "random"
WORKER_SEED: Final = "refcert_seed"
"""Under this name the workers of xdist are told the seed."""
GROUP: Final = 10
"""Samples of one test item; a budget is looked at between groups."""

_SEEDS: Final = 2**31


@dataclass(frozen=True)
class Settings:
    """budget: seconds of refcert's checks, of each process under xdist; None for no limit. profile: a name or None."""

    budget: float | None
    device: str
    seed: int
    profile: str | None


SETTINGS: Final = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """The command line's options and those of pytest's configuration file."""
    group = parser.getgroup("refcert", "refcert: guards of certified robustness")
    group.addoption(
        "--refcert-budget",
        metavar="SECONDS",
        help="Time for refcert's checks, as 30, 90s or 5m; what it does not suffice for fails as not guarded.",
    )
    group.addoption("--refcert-device", metavar="DEVICE", default="cpu", help="Any torch device: cpu, cuda, cuda:1.")
    group.addoption(
        "--refcert-seed",
        metavar="N",
        help="Decides what attacks and assertions draw, or 'random' for a new one that the summary names; default 0, "
        "with the profile nightly random.",
    )
    group.addoption(
        "--refcert-profile",
        metavar="NAME",
        choices=sorted(PROFILES),
        help="Hypothesis settings: " + "; ".join(f"{name}: {p.summary}" for name, p in PROFILES.items()) + ".",
    )
    parser.addini(
        "refcert_baseline", "Baselines that are collected as tests, relative to this file.", type="paths", default=[]
    )
    parser.addini("refcert_attack", "Attack held against certified radii, or none; default: pgd.", default="pgd")


def settings_of(config: pytest.Config) -> Settings:
    """The checked options. A random seed is drawn once: workers of xdist are given it. Raises UsageError."""
    option = config.option
    given = getattr(config, "workerinput", {}).get(WORKER_SEED, option.refcert_seed)
    if given is None:
        given = RANDOM if option.refcert_profile == "nightly" else "0"
    if given == RANDOM:
        given = str(secrets.randbelow(_SEEDS))
    if not (given.isascii() and given.isdigit()):
        raise pytest.UsageError(f"--refcert-seed is {given!r}; give a whole number from 0 up, or {RANDOM}")
    return Settings(_seconds(option.refcert_budget), option.refcert_device, int(given), option.refcert_profile)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    from refcert.app.errors import InputError
    from refcert.testing.budget import Budget

    try:
        found = Budget.of(float(text) if _is_number(text) else text).seconds
    except InputError as error:
        raise pytest.UsageError(f"--refcert-budget: {error}") from error
    if found is None:
        raise pytest.UsageError(f"--refcert-budget is {text!r}, not a time; give seconds, or 90s, or 5m")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
