"""Attacks by name."""

from __future__ import annotations

import pytest

from gpu_engine.attacks.base import RadiusAttack, SetAttack
from gpu_engine.attacks.registry import ATTACKS, attack_entry
from gpu_engine.errors import SpecificationError


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_can_be_made_by_its_name(name):
    entry = attack_entry(name)
    assert entry.name == name and entry.summary
    attack = entry.builder(3 if entry.uses_steps else None, 2 if entry.uses_restarts else None)
    assert isinstance(attack, RadiusAttack) and attack.name == name
    assert isinstance(entry.builder(None, None), RadiusAttack)
    assert entry.has_set_attack == (name in ("pgd", "fgsm"))
    if entry.on_sets is not None:
        on_sets = entry.on_sets(None, None)
        assert isinstance(on_sets, SetAttack) and on_sets.name == name


@pytest.mark.parametrize("name", ATTACKS)
def test_numbers_that_an_attack_has_no_use_for_are_refused(name):
    entry = attack_entry(name)
    if not entry.uses_steps:
        with pytest.raises(SpecificationError, match="steps is 3"):
            entry.builder(3, None)
    if not entry.uses_restarts:
        with pytest.raises(SpecificationError, match="restarts is 2"):
            entry.builder(None, 2)


def test_a_name_that_is_not_known_is_refused_with_the_known_ones():
    with pytest.raises(SpecificationError, match=r"'pdg' is not known; known: pgd, cw"):
        attack_entry("pdg")
