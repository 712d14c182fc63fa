"""CLEVER-RNN: a robustness score from sampled gradients. An estimate without guarantee.

Method card
    Source     POPQORN (Ko et al. 2019), appendix B.2; CLEVER (Weng et al., ICLR 2018) for the constants.
    Idea       a margin row g with local Lipschitz constants L_t, one a frame (the largest dual norm on the ball of its
               gradient with respect to frame t), is positive up to min(g(x0) / sum_t w_t L_t, R). The constants are
               estimated: gradients at points drawn from the ball of radius R, the largest norm of each batch, and the
               end of their distribution by a fit (`scores.weibull`), never below the largest norm seen.
    Constants  `frames`, the default: one constant a frame and their weighted sum, the paper's score; it also says which
               frame the margin hangs on. `sum`: the constant of the weighted sum of the frames' norms itself, whose
               maximum is at most the sum of their maxima: the sharper of two estimates of the same radius, with one
               fit instead of one for every frame. One frame that moves: both are g(x0) / L_t. One ball around the
               sequence has one constant, the dual norm of the whole gradient.
    Ball       R is a cap on the score, too: beyond it nothing was sampled. Default: the radius at which the rows'
               linear approximations at the center reach zero. The gradient at the center belongs to the ball, so no
               constant is below its norm and the cap then never binds before the estimate does.
    Departures the center counts as a sampled point; constants are named and handled where there is no fit; all norms,
               weights of frames, frames that stay, clip ranges, sequences of different lengths; any reading of rows.
    Sound?     no. Points may miss the largest gradient, and a fit may end below it. The score can lie above the true
               radius, though it aims below; it is not a certificate, nor is it an attack.
    Shapes     gradients (points, time, input), one row at a time; norms (points, rows, parts): a part is a frame, or
               the whole.
    Cost       one forward and `rows` backward passes for each of batches * samples points; memory bounded by chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError
from gpu_engine.scores.draws import Draws
from gpu_engine.scores.rows import dual, margin_rows, radius_of, row_norms
from gpu_engine.scores.weibull import Fit, fit_end

NAME: Final = "CLEVER-RNN"
CONSTANTS: Final = ("frames", "sum")
SAMPLES: Final = 100
BATCHES: Final = 100

# Numbers that one pass may hold at a time, roughly: inputs, states and specification rows of all its points.
_HELD: Final = 2_000_000
_LARGEST_SEED: Final = 2**63 - 1


@dataclass(frozen=True)
class RowFits:
    """The constants of one row of one question. frames (time,), None for frames that stay; or `whole`, never both."""

    frames: tuple[Fit | None, ...] = ()
    whole: Fit | None = None

    def fits(self) -> list[Fit]:
        """Those that there are."""
        return [fit for fit in (*self.frames, self.whole) if fit is not None]


@dataclass(frozen=True)
class Score:
    """One estimate per question; none of them is a bound.

    radius (batch,): the score, 0 where the center itself breaks the specification, at most `ball`. ball (batch,): the
    radius of the ball that gradients were drawn from, 0 where none were. margin (batch,): at the center. row (batch,):
    the row that decides the score. capped (batch,): the score is the ball's radius, the estimate beyond it.
    fits: for every question one entry per row, none where the center is broken.
    """

    guarantee: ClassVar[str] = "estimate, no guarantee"
    radius: Tensor
    ball: Tensor
    margin: Tensor
    row: Tensor
    capped: Tensor
    fits: tuple[tuple[RowFits, ...], ...]

    @property
    def misclassified(self) -> Tensor:
        """Where the center itself breaks the specification, (batch,) bool."""
        return self.margin <= 0


def clever_rnn(
    question: Question,
    family: BallFamily,
    generator: torch.Generator,
    *,
    samples: int = SAMPLES,
    batches: int = BATCHES,
    ball: float | None = None,
    constants: str = "frames",
    progress: Callable[[int], None] | None = None,
) -> Score:
    """The scores of a batch of questions.

    samples: points in each batch; batches: maxima for each fit. ball: the radius that points are drawn from, None for
    the default of the method card. constants: one of CONSTANTS, without effect for one ball around the sequence.
    The generator gives one seed; all questions see the same noise, so a question's score depends neither on the others
    nor on its place among them. progress is told of every question that is done. Raises SpecificationError.
    """
    _check(question, family, samples, batches, ball, constants)
    seed = int(torch.randint(_LARGEST_SEED, (), generator=generator, device=generator.device))
    question = margin_rows(question)
    margin = question.center_margins(family.center)
    count = len(family)
    radius, reach = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    row, capped = torch.zeros(count, dtype=torch.int64), torch.zeros(count, dtype=torch.bool)
    fits: list[tuple[RowFits, ...]] = []
    for b in range(count):
        found: tuple[RowFits, ...] = ()
        if margin[b] > 0:
            one = _One(question.select(slice(b, b + 1)), family.select(slice(b, b + 1)), constants)
            reach[b] = one.default_ball() if ball is None else ball
            found = one.fits(Draws(one.family, float(reach[b]), seed), samples, batches)
            radius[b], row[b], capped[b] = one.score(found, float(reach[b]))
        fits.append(found)
        if progress is not None:
            progress(1)
    return Score(radius, reach, margin.cpu(), row, capped, tuple(fits))


class _One:
    """One question with a positive margin at its center."""

    def __init__(self, question: Question, family: BallFamily, constants: str) -> None:
        self.question, self.family = question, family
        self.by_frame = constants == "frames" and not family.shared
        self.q = dual(family.p)
        self.weight = family.weight[0]
        self.rows, norms = row_norms(question, family.center, self._norms)
        self.at_center = norms[0]

    def _norms(self, slope: Tensor) -> Tensor:
        """(points, time, input) -> dual norms (points, parts); frames that stay count nothing."""
        if self.family.shared:
            moving = slope * (self.weight > 0)[:, None]
            whole: Tensor = torch.linalg.vector_norm(moving.flatten(1), self.q, dim=1, keepdim=True)
            return whole
        norms: Tensor = torch.linalg.vector_norm(slope, self.q, dim=2)
        return norms if self.by_frame else (norms * self.weight).sum(1, keepdim=True)

    def _lost(self, constants: Tensor) -> Tensor:
        """What a row can lose for each unit of radius: constants (rows, parts) -> (rows,)."""
        return (constants * self.weight).sum(1) if self.by_frame else constants[:, 0]

    def _radii(self, constants: Tensor, ball: float) -> Tensor:
        """Radii up to which each row stays positive if these are its constants, (1, rows)."""
        lost = self._lost(constants)
        radii = torch.where(lost > 0, self.rows[0] / torch.where(lost > 0, lost, 1.0), ball)
        return torch.where(self.rows[0] > 0, radii.clamp(max=ball), 0.0)[None]

    def default_ball(self) -> float:
        return float(radius_of(self.question, self._radii(self.at_center, self.family.largest()))[0])

    def fits(self, draws: Draws, samples: int, batches: int) -> tuple[RowFits, ...]:
        maxima = self._maxima(draws, samples, batches)
        center = self.at_center.cpu().numpy()
        rows = []
        for k in range(maxima.shape[1]):
            if not self.by_frame:
                rows.append(RowFits(whole=fit_end(maxima[:, k, 0], float(center[k, 0]))))
                continue
            moving = (self.weight > 0).tolist()
            frames = [
                fit_end(maxima[:, k, t], float(center[k, t])) if moves else None for t, moves in enumerate(moving)
            ]
            rows.append(RowFits(tuple(frames)))
        return tuple(rows)

    def _maxima(self, draws: Draws, samples: int, batches: int) -> np.ndarray:
        """The largest norm of each batch, (batches, rows, parts)."""
        model = self.question.model
        states = sum(direction.hidden_size for layer in model.layers for direction in layer)
        one = self.family.center.shape[1] * (model.input_size + 8 * states) + self.question.specification.C.numel()
        points = max(_HELD // one, 1)
        together = max(points // samples, 1)  # whole batches; one that is too large is cut
        found = []
        for first in range(0, batches, together):
            number = min(together, batches - first)
            x = torch.cat([draws.batch(samples) for _ in range(number)])
            norms = torch.cat([self._at(piece) for piece in torch.split(x, points)])
            found.append(norms.view(number, samples, *norms.shape[1:]).amax(1))
        return torch.cat(found).cpu().numpy()

    def _at(self, x: Tensor) -> Tensor:
        same = torch.zeros(len(x), dtype=torch.int64)
        return row_norms(self.question.select(same), x, self._norms)[1]

    def score(self, fits: tuple[RowFits, ...], ball: float) -> tuple[float, int, bool]:
        """Radius, deciding row, and whether the ball's radius cut it."""
        ends = [[0.0 if fit is None else fit.end for fit in (row.frames or (row.whole,))] for row in fits]
        constants = torch.tensor(ends, dtype=torch.float64, device=self.weight.device)
        radius, row = radius_of(self.question, self._radii(constants, ball))
        lost = self._lost(constants)[row]
        return float(radius), int(row), bool(self.rows[0, row] > ball * lost)


def _check(
    question: Question, family: BallFamily, samples: int, batches: int, ball: float | None, constants: str
) -> None:
    if len(question) != len(family):
        raise SpecificationError(f"there are {len(question)} questions and {len(family)} balls; give one for each")
    for what, value in (("samples", samples), ("batches", batches)):
        if value < 1:
            raise SpecificationError(f"{what} is {value}; give at least 1")
    if ball is not None and not 0 < ball < math.inf:
        raise SpecificationError(f"the ball's radius is {ball}; give a finite number > 0")
    if constants not in CONSTANTS:
        raise SpecificationError(f"constants {constants!r} is not known; known: {', '.join(CONSTANTS)}")
    if not bool((family.weight > 0).any(1).all()):
        raise SpecificationError("a question has no frame that moves; leave it out")
