"""The order of steps, and the boxes of interval arithmetic for the variables that are passed by.

Certificate_v1.md, section 7, "Order" and "Blocks".
"""

from __future__ import annotations

from refcert.kernel.container import shown
from refcert.kernel.ends import PRECISIONS
from refcert.kernel.errors import FailedStepError, UndecidedStepError
from refcert.kernel.interval import fill_boxes
from refcert.kernel.state import State
from refcert.kernel.steps import AGAIN, BOX, CLOSE, DIAGONALS, END, OPEN, PLANES, Step


class Order:
    """The order outside of blocks, or of one round of a block. empty: whether a box of the block is, from its start."""

    def __init__(self, state: State, *, empty: bool = False) -> None:
        self.state, self.empty = state, empty
        self.variable, self.stage = 0, DIAGONALS
        self.seen: set[tuple[int, ...]] = set()  # of this variable
        self.blocks_follow = False

    def next(self, step: Step, *, last: bool) -> None:
        """Raise FailedStepError unless the step may stand here, UndecidedStepError if its rule is unknown."""
        if step.stage is None:
            raise UndecidedStepError(f"the rule {shown(step.rule)} is not known")
        if last != (step.stage == END):
            raise FailedStepError("the last step, and no other, proves the margin")
        inside = len(self.state.suppositions)
        if step.stage == END:
            if inside:
                raise FailedStepError(f"{inside} of the blocks are open still")
            return
        if self.empty and step.rule != "closed.empty":
            raise FailedStepError("the block begins with an empty box; only closed.empty may follow")
        if step.stage in (OPEN, AGAIN, CLOSE) or step.rule.endswith(".supposed"):
            self._require_block(step, inside > 0)
        if step.stage in (DIAGONALS, PLANES, BOX):
            self._of_variable(step)

    def _require_block(self, step: Step, inside: bool) -> None:
        """What opens a block at the root stands outside of blocks, all else inside; then all variables have boxes."""
        if inside == (step.rule == "suppose.row"):
            where = "inside" if inside else "outside of"
            raise FailedStepError(f"{step.rule} stands {where} a block")
        if not inside:
            fill_boxes(self.state, 0, len(self.state.program.variables), PRECISIONS)
            self.blocks_follow = True

    def _of_variable(self, step: Step) -> None:
        if self.blocks_follow:
            raise FailedStepError("behind a block outside of blocks only further blocks and the margin may follow")
        if step.of < self.variable:
            raise FailedStepError(f"variable {step.of} comes behind variable {self.variable}")
        if step.of > self.variable:
            fill_boxes(self.state, self.variable, step.of, PRECISIONS)
            self.variable, self.stage = step.of, DIAGONALS
            self.seen.clear()
        if self.stage == BOX:
            raise FailedStepError(f"variable {step.of} has its box already")
        assert step.stage is not None
        if step.stage < self.stage:
            raise FailedStepError(f"the {step.rule} of variable {step.of} come behind its planes")
        what = (step.stage, step.part, step.which)
        if what in self.seen:
            found = "its diagonals" if step.stage == DIAGONALS else f"planes of set {step.which}"
            raise FailedStepError(f"part {step.part} of variable {step.of} has {found} already")
        self.seen.add(what)
        self.stage = step.stage
