"""The convex relaxation of the whole unrolled network: what single planes, back-substitution and boxes each lose."""

from refcert.audit.network_lp.ladder import DEFAULT_RUNGS, RUNGS, Ladder, Rung, network_ladder

__all__ = ["DEFAULT_RUNGS", "RUNGS", "Ladder", "Rung", "network_ladder"]
