"""Steps one after the other, in the blocks that they open and close (certificate_v1.md, section 7, "Blocks").

What is proved in a block holds for the inputs that its suppositions leave. It is lost when the block is closed, up to
this: a closed block has shown that all of its inputs keep the row at or above the margin.
Lemma `supposed_bounds`: if the inputs with row <= margin do, all do; a unit is below a number or above it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from refcert.kernel.ball import precision
from refcert.kernel.ends import PRECISIONS
from refcert.kernel.errors import FailedStepError
from refcert.kernel.order import Order
from refcert.kernel.rules import RULES
from refcert.kernel.specification import Claimed, over_answers
from refcert.kernel.state import State
from refcert.kernel.steps import AGAIN, CLOSE, OPEN, Step
from refcert.kernel.supposition import Supposition, split


@dataclass(slots=True)
class _Block:
    """An open block. closed: what the blocks inside supposed that were closed one behind the other just now."""

    state: State
    order: Order
    closed: list[Supposition] = field(default_factory=list)


class Blocks:
    """The open blocks, the innermost last; the first one is the certificate itself."""

    def __init__(self, state: State, claimed: Claimed) -> None:
        self.claimed = claimed
        self.open = [_Block(state, Order(state))]

    def take(self, step: Step, *, last: bool) -> None:
        """Prove one step. Raises FailedStepError where it does not hold, UndecidedStepError where nothing tells."""
        block = self.open[-1]
        block.order.next(step, last=last)
        if step.rule in RULES:
            with precision(PRECISIONS[0]):
                RULES[step.rule](step, block.state, self.claimed)
        if step.stage == OPEN:
            self.open.append(self._opened(step, block.state))
        elif step.stage == CLOSE:
            if step.rule == "closed.split":
                _require_both(block.closed)
            self._close()
        else:
            block.closed.clear()
            if step.stage == AGAIN:
                block.order = Order(block.state)

    def _opened(self, step: Step, around: State) -> _Block:
        around.budget.check()
        if step.rule == "suppose.row":
            specification, number = self.claimed.specification, step.row
            form = over_answers(around.program, specification.rows[number])
            constants = specification.constants[number], -self.claimed.margin
            state = around.under(Supposition(form, constants, row=number))
            return _Block(state, Order(state))
        of, unit, s, below = step.of, step.unit, step.rows[0][0], step.rule == "suppose.below"
        state = around.under(split(of, unit, s, below=below))
        lower, upper = (list(ends) for ends in state.boxes[of])
        if below:
            upper[unit] = min(upper[unit], s)
        else:
            lower[unit] = max(lower[unit], s)
        state.boxes[of] = lower, upper
        return _Block(state, Order(state, empty=lower[unit] > upper[unit]))

    def _close(self) -> None:
        supposition = self.open.pop().state.suppositions[-1]
        around = self.open[-1]
        around.closed.append(supposition)
        if supposition.row is not None:
            around.state.proved.add(supposition.row)


def _require_both(closed: list[Supposition]) -> None:
    """The two that were closed last lie below and above the same number."""
    if len(closed) >= 2:
        below, above = closed[-2:]
        if below.below and not above.below and below.place is not None and below.place == above.place:
            return
    raise FailedStepError("the blocks before it are not the two of one split, below and above the same number")
