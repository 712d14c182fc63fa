"""What a block supposes: a linear form over variables that is at most 0 (certificate_v1.md, section 7, "Blocks")."""

from __future__ import annotations

from dataclasses import dataclass

from refcert.kernel.program import Form


@dataclass(frozen=True, slots=True)
class Supposition:
    """form + the sum of constants <= 0.

    row: the number of the specification's row that is supposed to be at most the margin. place: else the variable,
    the unit and the number that it lies `below` (or else above).
    """

    form: Form
    constants: tuple[float, float]
    row: int | None = None
    place: tuple[int, int, float] | None = None
    below: bool = False

    @property
    def last(self) -> int:
        """The highest variable of the form; -1 if it is 0."""
        return max((variable for variable, _ in self.form), default=-1)


def split(of: int, unit: int, s: float, *, below: bool) -> Supposition:
    """variable[unit] <= s, or >= s."""
    way = 1.0 if below else -1.0
    return Supposition({(of, unit): way}, (-way * s, 0.0), place=(of, unit, s), below=below)
