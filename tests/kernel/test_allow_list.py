"""The trusted kernel imports nothing but the standard library's named modules, python-flint and itself."""

import ast
import subprocess
import sys
from pathlib import Path

KERNEL = Path(__file__).parents[2] / "refcert" / "kernel"
ALLOWED = {
    "__future__",
    "abc",
    "argparse",
    "array",
    "collections.abc",
    "contextlib",
    "dataclasses",
    "enum",
    "flint",
    "hashlib",
    "io",
    "itertools",
    "json",
    "math",
    "os",
    "pathlib",
    "re",
    "stat",
    "struct",
    "sys",
    "time",
    "typing",
}


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what they name"
            yield node.module
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("__import__", "eval", "exec"):
            yield node.func.id


def test_only_allowed_imports():
    files = sorted(KERNEL.glob("**/*.py"))
    assert len(files) > 5
    for file in files:
        for name in _imports(ast.parse(file.read_text())):
            assert name in ALLOWED or name.startswith("refcert.kernel"), f"{file.name} imports {name}"


def test_a_forbidden_import_would_be_seen():
    tree = ast.parse("import numpy\nfrom torch import nn\n__import__('os')")
    assert set(_imports(tree)) == {"numpy", "torch", "__import__"}


def test_nothing_else_is_loaded_at_run_time():
    code = (
        "import sys; import refcert.kernel.check; "
        "heavy = {'torch', 'numpy', 'scipy', 'sympy', 'cvxpy', 'pyarrow', 'gpu_engine'} & set(sys.modules); "
        "print(sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def _statements(tree):
    """How many statements there are; docstrings are none."""
    return sum(
        isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in ast.walk(tree)
    )


def test_the_kernel_stays_small():
    """Of these, 820 prove planes, 580 read files strictly, 200 unroll networks; what is left replays steps."""
    assert sum(_statements(ast.parse(file.read_text())) for file in KERNEL.glob("**/*.py")) <= 2650
