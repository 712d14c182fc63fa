"""Scripts that print tables; results are kept in `benchmarks/results`."""

import os

# As in refcert.app.cli: short spinning, or a busy machine makes every figure meaningless.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
