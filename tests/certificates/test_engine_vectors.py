"""Today's engine still writes the questions of the stored vectors, and the kernel accepts what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from refcert.kernel.check import Verdict, check
from tests.certificates.engine_corruptions import NAMES
from tests.certificates.engine_vectors import CASES, written
from tests.certificates.naive_container import read_container
from tests.certificates.tiny_certificates import Vector, stem
from tests.certificates.vectors import FOLDER

WRITTEN = written()


def test_every_case_is_stored() -> None:
    assert list(CASES) == list(NAMES) == [vector.name for vector in WRITTEN]


@pytest.mark.parametrize("vector", WRITTEN, ids=lambda vector: vector.name)
def test_what_the_engine_writes_today(vector: Vector, tmp_path: Path) -> None:
    """Valid, and about the same question, step by step, as the stored file; only numbers may differ."""
    path = vector.write(tmp_path)
    assert check(path).verdict is Verdict.VALID
    today, stored = (
        read_container(file)[0] for file in (path, FOLDER / "accepted" / f"{stem(vector.name)}.safetensors")
    )
    for key in ("inputs", "specification", "steps"):
        assert today[key] == stored[key]
