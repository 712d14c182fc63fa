"""A test file is left out of a mutation's run only if it cannot see the fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from refcert.audit.mutations.reach import blind_files

ROOT = Path(__file__).parents[2]

FILES = {
    "gpu_engine/__init__.py": "",
    "gpu_engine/far.py": "",
    "gpu_engine/near.py": "def f():\n    from gpu_engine import far\n",
    "gpu_engine/room/__init__.py": "import gpu_engine.near\n",
    "gpu_engine/room/part.py": "",
    "tests/__init__.py": "",
    "tests/helper.py": "from gpu_engine.near import f\n",
    "tests/engine/__init__.py": "",
    "tests/engine/test_direct.py": "import gpu_engine.far\n",
    "tests/engine/test_through_a_helper.py": "from tests.helper import f\n",
    "tests/engine/test_relative.py": "from ..helper import f\n",
    "tests/engine/test_through_a_package.py": "import gpu_engine.room.part\n",
    "tests/engine/test_process.py": "import subprocess\n",
    "tests/engine/test_blind.py": "import math\nfrom gpu_engine import room_is_no_module\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_only_files_that_cannot_reach_the_module_are_blind(tree: Path) -> None:
    assert blind_files(tree, ["tests/engine"], "gpu_engine.far") == ("tests/engine/test_blind.py",)
    assert blind_files(tree, ["tests/engine/test_blind.py"], "gpu_engine") == ()


def test_a_conftest_counts_for_all_below_it(tree: Path) -> None:
    (tree / "tests" / "conftest.py").write_text("import gpu_engine.far\n")
    assert blind_files(tree, ["tests/engine"], "gpu_engine.far") == ()


def test_of_this_checkout_the_kernels_own_tests_see_no_engine() -> None:
    blind = blind_files(ROOT, ["tests/kernel", "tests/engine"], "gpu_engine.cells.lstm")
    assert "tests/kernel/test_plane_proof.py" in blind
    assert "tests/engine/test_bounds_law.py" not in blind
    assert blind_files(ROOT, ["tests/kernel/test_plane_proof.py"], "refcert.kernel.side_proof") == ()
