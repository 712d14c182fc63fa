"""The smallest perturbation of tiny ReLU networks by mixed-integer programming: it lies inside every sandwich."""

from refcert.audit.exact_minimum.family import BallFamily
from refcert.audit.exact_minimum.minimum import Minimum, RowMinimum, Status, exact_minimum

__all__ = ["BallFamily", "Minimum", "RowMinimum", "Status", "exact_minimum"]
