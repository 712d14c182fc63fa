"""The order of work: boxes and planes step by step, then the specification rows.

Method card
    Claim      `bound(...)`.lower <= C F(x) + d on the whole input set; every box contains its variable.
    Source     POPQORN (Ko et al. 2019), algorithm of section 3.4; boxes intersected with interval arithmetic.
    Order      the steps of the tape: an affine step that nonlinearities read and a state that they read are bounded by
               back-substitution; a nonlinear step gets its planes as soon as its arguments are bounded.
    Octagons   where a relaxation asks for them, v + z and v - z of every product are bounded, too, before its planes.
    Several    with several relaxations each box is the intersection over all of them, and each row the best of them.
    Shapes     batch first everywhere; lower (batch, spec).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Box, Diagonals, Origin, PlanePair
from gpu_engine.cells.unroll import unroll
from gpu_engine.errors import NumericalError, SoundnessFault, SpecificationError
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.propagation import interval
from gpu_engine.propagation.backward import Backward, Forms, default_block_bytes
from gpu_engine.propagation.concretize import prepare
from gpu_engine.propagation.constants import AffineConstants
from gpu_engine.propagation.precision import full_precision_products
from gpu_engine.propagation.relaxed import Argument, RelaxedStep
from gpu_engine.propagation.sites import Part, Site, Trainer
from gpu_engine.propagation.usage import only_inputs, usage_of
from gpu_engine.propagation.weights import Ranges, Weights
from gpu_engine.relaxations.registry import Relaxation
from gpu_engine.rounding import gamma, tiny
from gpu_engine.spec import Specification
from gpu_engine.steps import Affine, Input, Nonlinear, Nonlinearity, Step, Term, View


@dataclass(frozen=True)
class Facts:
    """What is known of every step, by its number on the tape, (batch, units): its box, its planes as substituted.

    diagonals: by nonlinear step and part, where they are known. relaxed: the first relaxation's set.
    """

    boxes: Mapping[int, Box]
    diagonals: Mapping[tuple[int, int], Diagonals]
    relaxed: Mapping[int, RelaxedStep]

    def select(self, samples: Tensor) -> Facts:
        """Those of some samples, by position."""
        return Facts(
            {k: box.select(samples) for k, box in self.boxes.items()},
            {k: diagonals.select(samples) for k, diagonals in self.diagonals.items()},
            {k: step.select(samples) for k, step in self.relaxed.items()},
        )


@dataclass(frozen=True)
class Bounds:
    """Lower bounds of the specification rows (batch, spec) and what they rest on.

    products: every relaxed nonlinearity, in the order of the tape. boxes: of every step that nonlinearities read, by
    its number on the tape, (batch, units). Both are empty where nobody asked for them.
    sets: the sets of planes behind each of these boxes; row_sets: behind `lower`. A relaxation's set has its position
    in their list, own sets follow. diagonal_sets: those behind the diagonals of a step's products.
    facts: where they were asked for, what bounds under suppositions begin with.
    """

    lower: Tensor
    products: tuple[BoundedProduct, ...]
    boxes: Mapping[int, Box] = field(default_factory=dict)
    sets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    row_sets: tuple[int, ...] = (0,)
    diagonal_sets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    facts: Facts | None = None


def bound(
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    relaxations: Relaxation | Sequence[Relaxation],
    *,
    dtype: torch.dtype,
    block_bytes: int | None = None,
    keep_products: bool = True,
    trainer: Trainer | None = None,
    keep_facts: bool = False,
) -> Bounds:
    """Lower bounds of C F(x) + d over the input set, on the device of `inputs.center`.

    block_bytes: memory for the coefficients of one block of back-substitution; results do not depend on it.
    keep_products: False where nobody looks at the planes and boxes, which saves memory.
    trainer: gives every bounded step, and the rows, a set of planes of its own beside those of the relaxations.
    keep_facts: for bounds under suppositions, `propagation.supposed`.
    """
    if inputs.center.shape[2] != model.input_size:
        raise SpecificationError(
            f"frames have {inputs.center.shape[2]} values, the model reads {model.input_size} per frame"
        )
    outputs = model.outputs(inputs.center.shape[1])
    if specification.C.shape[2] != outputs or len(inputs) != specification.C.shape[0]:
        raise SpecificationError(
            f"specification rows have shape {tuple(specification.C.shape)}, they need ({len(inputs)}, spec, {outputs})"
        )
    several = tuple(relaxations) if isinstance(relaxations, Sequence) else (relaxations,)
    with torch.no_grad(), full_precision_products(inputs.center.device):
        run = _Run(model, inputs, several, dtype, block_bytes, keep_products, trainer, keep_facts)
        return run.run(specification)


@dataclass
class _State:
    """By step: the constant part of its value, the sum of its absolute terms, (batch, units); and its box."""

    constant: dict[int, Tensor] = field(default_factory=dict)
    size: dict[int, Tensor] = field(default_factory=dict)
    box: dict[int, Box] = field(default_factory=dict)


class _Run:
    def __init__(
        self,
        model: RecurrentClassifier,
        inputs: InputSet,
        relaxations: tuple[Relaxation, ...],
        dtype: torch.dtype,
        block_bytes: int | None,
        keep_products: bool,
        trainer: Trainer | None,
        supposes: bool,
    ) -> None:
        self.inputs = prepare(inputs, dtype)
        self.keep_products = keep_products
        self.relaxations, self.dtype = relaxations, dtype
        self.batch, self.time = self.inputs.center.shape[:2]
        self.device = self.inputs.center.device
        self.tape = unroll(model, self.time)
        self.usage = usage_of(self.tape)
        self.supposes = supposes
        self.weights = Weights(dtype, self.device)
        self.net = Backward(
            self.tape.steps,
            self.weights,
            self.inputs,
            [{} for _ in relaxations],
            block_bytes or default_block_bytes(self.device),
        )
        self.gamma, self.lost = self._rounding()
        self.net.magnitude = max(1.0, float((self.inputs.center.abs() + self.inputs.magnitude()).max()))
        self.state = _State()
        self.constants = AffineConstants(
            self.tape.steps, self.weights, self.inputs, self.state.constant, self.state.size, self.state.box
        )
        self.products: list[BoundedProduct] = []
        self.trainer = trainer
        self.sites: dict[int, Site] = {}
        self.sets: dict[int, tuple[int, ...]] = {}
        self.diagonal_sets: dict[int, tuple[int, ...]] = {}
        self.diagonals: dict[tuple[int, int], Diagonals] = {}

    def _rounding(self) -> tuple[float, float]:
        """(relative rounding of every sum, what underflow can lose in one of them)."""
        values = self.inputs.summands
        # Roundings in the longest sum that any constant or coefficient takes part in: products over the units of a
        # step, a chain of affine steps, the sums over all readers of a step, a concretization over the inputs, one
        # addition per step; 64 for the elementwise rest, casts of the weights included. Lemma `charged_rounding`.
        usage = self.usage
        terms = 2 * usage.widest + 2 * usage.chain + 4 * usage.readers + 4 * values + 4 * len(self.tape.steps) + 64
        # Under a supposition forms begin at a step and at the outputs: as if one more step read it.
        terms += 4 * int(self.supposes)
        return gamma(terms, self.dtype), terms * tiny(self.dtype)

    def run(self, specification: Specification) -> Bounds:
        for number, step in enumerate(self.tape.steps):
            if isinstance(step, Input):
                self._input(number, step)
            elif isinstance(step, Affine):
                self._affine(number, step)
            else:
                self._nonlinear(number, step)
        lower = self._specification(specification)
        _require_finite("the bound of the specification", lower)
        kept = self.usage.arguments if self.keep_products else ()
        return Bounds(
            lower,
            tuple(self.products),
            {number: self.state.box[number] for number in kept},
            {number: self.sets.get(number, ()) for number in kept},
            self.row_sets,
            self.diagonal_sets if self.keep_products else {},
            self._facts() if self.supposes else None,
        )

    def _facts(self) -> Facts:
        return Facts(dict(self.state.box), dict(self.diagonals), dict(self.net.relaxed[0]))

    # the three kinds of steps

    def _input(self, number: int, step: Input) -> None:
        center, box = self.inputs.center[:, step.t], self.inputs.box
        self.state.constant[number] = center
        self.state.size[number] = center.abs() + self.inputs.magnitude()[:, step.t]
        self.state.box[number] = Box(box.lower[:, step.t], box.upper[:, step.t])

    def _affine(self, number: int, step: Affine) -> None:
        own, constant, size = self.constants.of(step)
        self.state.constant[number], self.state.size[number] = constant, size
        self.net.magnitude = max(self.net.magnitude, float(size.max()))
        if number in self.usage.entered:
            self.net.charge[number] = (self.gamma * size)[..., None]
        if number not in self.usage.first_reader:
            return  # outputs: nobody needs their box
        name = _name(step)
        slack = self.gamma * size + self.net.underflow(number)
        # Frames enter every procedure in the same way: once, over the input set itself.
        low, high = self._from_frames(step)
        plain = self._interval(step, own + low, own + high, slack)
        used = self.usage.arguments.get(number)
        if used is not None and not only_inputs(step, self.tape.steps):
            plain = self._tightened(
                name, plain, used, self._affine_forms(number, step, used, constant, slack, low, high)
            )
        self.state.box[number] = self._checked(name, plain)

    def _nonlinear(self, number: int, step: Nonlinear) -> None:
        images = [self._image(part) for part in step.parts]
        plain = images[0]
        for image in images[1:]:
            plain = interval.add(plain, image)
        name = _name(step)
        out = plain.magnitude()
        self.net.magnitude = max(self.net.magnitude, float(out.max()))
        site = Site(self._parts(number, step), out, self.gamma, self.lost)
        for which, relaxation in enumerate(self.relaxations):
            planes = [relaxation.planes(part.kind, part.v, part.z, part.diagonals) for part in site.parts]
            self._use(number, site, planes, which)
            if which == 0:
                site = replace(site, start=tuple(planes))
        if self.trainer is not None:
            self.sites[number] = site
        used = self.usage.arguments.get(number)
        if used is not None:
            plain = self._tightened(name, plain, used, self._state_forms(number, step, used))
        self.state.box[number] = self._checked(name, plain)

    def _use(self, number: int, site: Site, planes: Sequence[PlanePair], which: int) -> None:
        """Let a set of planes have these for a nonlinear step."""
        step = self.tape.steps[number]
        assert isinstance(step, Nonlinear)
        for position, (part, of, pair) in enumerate(zip(step.parts, site.parts, planes, strict=True)):
            for plane in (pair.lower, pair.upper):
                for values in (plane.slope_v, plane.slope_z, plane.offset):
                    _require_finite(f"a plane of the {part.name} of {_name(step)}", values)
            if self.keep_products:
                place, name = step.place, part.name + step.place.suffix
                zero = torch.zeros_like(of.v.lower)
                z = Box(zero, zero) if of.z is None else of.z
                origin = Origin(number, position, which)
                product = BoundedProduct(of.kind, name, place.layer, place.t, of.v, z, pair, origin, of.diagonals)
                self.products.append(product)
        self.net.relaxed[which][number] = site.relaxed(planes)

    def _parts(self, number: int, step: Nonlinear) -> tuple[Part, ...]:
        """The parts of a step, with their diagonals where a relaxation reads them."""
        parts = tuple(self._part(part) for part in step.parts)
        products = [k for k, part in enumerate(parts) if part.z is not None]
        if not products or not any(relaxation.octagon is not None for relaxation in self.relaxations):
            return parts
        found = self._diagonals(number, step, [parts[k] for k in products])
        own = dict(zip(products, found, strict=True))
        self.diagonals |= {(number, k): diagonals for k, diagonals in own.items()}
        return tuple(replace(part, diagonals=own.get(k)) for k, part in enumerate(parts))

    def _part(self, part: Nonlinearity) -> Part:
        z = None if part.z is None else self._box(part.z)
        read = None if part.z is None else self._argument(part.z)
        return Part(part.kind, self._box(part.v, part.negate), z, self._argument(part.v), read, part.negate)

    def _argument(self, view: View) -> Argument:
        units = slice(view.start, view.stop)
        constant = self.state.constant.get(view.step)
        size = self.state.size.get(view.step)
        if size is None:
            size = self.state.box[view.step].magnitude()
        return Argument(view, None if constant is None else constant[:, units], size[:, units])

    def _box(self, view: View, negate: bool = False) -> Box:
        box = self.state.box[view.step]
        low, high = box.lower[:, view.start : view.stop], box.upper[:, view.start : view.stop]
        return Box(-high, -low) if negate else Box(low, high)

    def _image(self, part: Nonlinearity) -> Box:
        z = None if part.z is None else self._box(part.z)
        return interval.image(part.kind, self._box(part.v, part.negate), z)

    # boxes

    def _from_frames(self, step: Affine) -> tuple[Tensor, Tensor]:
        """Least and greatest value of what the frames add to an affine step beyond their centers, (batch, size)."""
        low = high = torch.zeros(self.batch, step.size, dtype=self.dtype, device=self.device)
        for term in step.terms:
            source = self.tape.steps[term.source.step]
            if not isinstance(source, Input):
                continue
            rows = self._rows_of(step, term, ((0, step.size),))
            both = self.inputs.concretize_all({source.t: torch.cat((rows, -rows))[None]})
            low, high = low + both[:, : step.size], high - both[:, step.size :]
        return low, high

    def _interval(self, step: Affine, low: Tensor, high: Tensor, slack: Tensor) -> Box:
        for term in step.terms:
            source = self.tape.steps[term.source.step]
            if isinstance(source, Input):
                continue
            box = self._box(term.source)
            if term.weight is not None:
                image = interval.linear(self.weights.cast(step.name, term.weight), box)
            elif term.divisor > 0:
                image = Box(box.lower / term.divisor, box.upper / term.divisor)
            else:
                image = Box(box.upper / term.divisor, box.lower / term.divisor)
            rows = slice(term.row, term.row + term.rows)
            if term.rows == step.size:
                low, high = low + image.lower, high + image.upper
            else:
                low, high = low.clone(), high.clone()
                low[:, rows] += image.lower
                high[:, rows] += image.upper
        return Box(low - slack, high + slack)

    def _affine_forms(
        self, number: int, step: Affine, used: Ranges, constant: Tensor, slack: Tensor, low: Tensor, high: Tensor
    ) -> Iterator[Box]:
        """Boxes of the used units by back-substitution, one per relaxation."""
        forms: dict[View, Tensor] = {}
        shared = False
        for term in step.terms:
            frame = self.inputs.per_frame and isinstance(self.tape.steps[term.source.step], Input)
            if frame and self.usage.first_reader[term.source.step] == number:
                shared = True  # nobody before read this frame: its share is known already
                continue
            rows = self._rows_of(step, term, used)
            rows = torch.cat((rows, -rows))[None]
            forms[term.source] = forms[term.source] + rows if term.source in forms else rows
        fixed, pad = _pick(constant, used), _pick(slack, used)
        bottom, top = (fixed + _pick(low, used), fixed + _pick(high, used)) if shared else (fixed, fixed)
        count = fixed.shape[1]
        start = Forms(torch.zeros_like(fixed[:, :1]))
        for view, rows in forms.items():
            start.add(view, rows)
        found = self._by_every_set(start, number - 1, rows=False)
        self.sets[number] = tuple(found)
        for both in found.values():
            yield Box(bottom + both[:, :count] - pad, top - both[:, count:] + pad)

    def _state_forms(self, number: int, step: Nonlinear, used: Ranges) -> Iterator[Box]:
        """Boxes of the used units of a nonlinear step by back-substitution, one per relaxation."""
        eye = torch.eye(step.size, dtype=self.dtype, device=self.device)
        rows = torch.cat([eye[start:stop] for start, stop in used]) if used != ((0, step.size),) else eye
        count = rows.shape[0]
        start = Forms(torch.zeros(self.batch, 1, dtype=self.dtype, device=self.device))
        start.add(View(number, 0, step.size), torch.cat((rows, -rows))[None])
        found = self._by_every_set(start, number, rows=False)
        self.sets[number] = tuple(found)
        for both in found.values():
            yield Box(both[:, :count], -both[:, count:])

    def _diagonals(self, number: int, step: Nonlinear, parts: Sequence[Part]) -> list[Diagonals]:
        """Boxes of v + z and v - z of products, all by one back-substitution."""
        start, fixed, pads, plain = self._sums(step, parts)
        last = max(view.step for part in step.parts for view in (part.v, part.z) if view is not None)
        sets = self._by_every_set(start, last, rows=False)
        self.diagonal_sets[number] = tuple(sets)
        for lower in sets.values():
            ends = lower.reshape(self.batch, 2 * len(parts), 2, step.size)
            for j, box in enumerate(plain):
                own = Box(fixed[j] + ends[:, j, 0] - pads[j], fixed[j] - ends[:, j, 1] + pads[j])
                plain[j] = self._checked(f"diagonals of the {_name(step)}", box.intersect(own))
        return [Diagonals(*plain[j : j + 2]) for j in range(0, len(plain), 2)]

    def _sums(self, step: Nonlinear, parts: Sequence[Part]) -> tuple[Forms, list[Tensor], list[Tensor], list[Box]]:
        """Forms v + z, -(v + z), v - z, -(v - z) of every part, one part's units behind the other's; and for v + z and
        v - z of every part what is constant in them, what rounding can take, and their intervals."""
        units = step.size
        eye = torch.eye(units, dtype=self.dtype, device=self.device)
        # Rows v + z, -(v + z), v - z, -(v - z) of every part; those of the other parts are zero.
        start = Forms(torch.zeros(self.batch, 1, dtype=self.dtype, device=self.device))
        fixed, pads, plain = [], [], []
        for k, part in enumerate(parts):
            assert part.z is not None and part.z_read is not None
            turn = -1.0 if part.negate else 1.0
            for read, signs in ((part.v_read, (turn, -turn, turn, -turn)), (part.z_read, (1.0, -1.0, -1.0, 1.0))):
                rows = torch.zeros(4 * units * len(parts), units, dtype=self.dtype, device=self.device)
                rows[4 * units * k : 4 * units * (k + 1)] = torch.cat([sign * eye for sign in signs])
                start.add(read.view, rows[None])
            fixed += [self._sum_of(part, turn, 1.0), self._sum_of(part, turn, -1.0)]
            pads += [self._pad_of(part.v_read) + self._pad_of(part.z_read)] * 2
            plain += [interval.add(part.v, part.z), interval.add(part.v, Box(-part.z.upper, -part.z.lower))]
        return start, fixed, pads, plain

    def _sum_of(self, part: Part, sign_v: float, sign_z: float) -> Tensor:
        """What is constant in sign_v v + sign_z z, (batch, units)."""
        assert part.z_read is not None
        total = torch.zeros_like(part.v.lower)
        for read, sign in ((part.v_read, sign_v), (part.z_read, sign_z)):
            if read.constant is not None:
                total = total + sign * read.constant
        return total

    def _pad_of(self, read: Argument) -> Tensor:
        """What rounding can take from a row that begins with this argument: an affine step's own sums."""
        if read.constant is None:
            return self.gamma * read.size
        return self.gamma * read.size + self.net.underflow(read.view.step)

    def _by_every_set(self, forms: Forms, last: int, *, rows: bool) -> dict[int, Tensor]:
        """Lower bounds (batch, rows) of the forms, by the number of the set of planes: by every relaxation, and by a
        set of its own where there is a trainer. rows: whether these are the rows of the specification."""
        found = {which: self.net.lower_bounds(forms, last, which) for which in range(len(self.relaxations))}
        if self.trainer is not None:
            sites = {k: self.sites[k] for k in self.net.reached(forms, last)}
            if sites:
                known = torch.stack(tuple(found.values())).amax(0)

                def lower(relaxed: Mapping[int, RelaxedStep]) -> Tensor:
                    return self.net.lower_bounds(forms, last, relaxed)

                planes = self.trainer.train(sites, lower, known, rows=rows)
                which = len(self.net.relaxed)
                self.net.relaxed.append({})
                for k, pairs in planes.items():
                    self._use(k, sites[k], pairs, which)
                found[which] = self.net.lower_bounds(forms, last, which)
        return found

    def _rows_of(self, step: Affine, term: Term, used: Ranges) -> Tensor:
        """The rows of the used units on the source of a term, (units, source size)."""
        if term.weight is not None:
            weight = self.weights.cast(step.name, term.weight)
        else:
            weight = torch.eye(term.source.size, dtype=self.dtype, device=self.device) / term.divisor
        if term.row == 0 and weight.shape[0] == step.size:
            whole = weight
        else:
            whole = weight.new_zeros(step.size, weight.shape[1])
            whole[term.row : term.row + weight.shape[0]] = weight
        if used == ((0, step.size),):
            return whole
        return torch.cat([whole[start:stop] for start, stop in used])

    def _tightened(self, name: str, plain: Box, used: Ranges, boxes: Iterator[Box]) -> Box:
        """The plain box, its used units intersected with the others."""
        part = Box(_pick(plain.lower, used), _pick(plain.upper, used))
        for box in boxes:
            part = self._checked(name, part.intersect(box))
        if used == ((0, plain.lower.shape[1]),):
            return part
        lower, upper = plain.lower.clone(), plain.upper.clone()
        offset = 0
        for start, stop in used:
            lower[:, start:stop] = part.lower[:, offset : offset + stop - start]
            upper[:, start:stop] = part.upper[:, offset : offset + stop - start]
            offset += stop - start
        return Box(lower, upper)

    def _checked(self, name: str, box: Box) -> Box:
        _require_finite(f"the box of the {name}", box.lower)
        _require_finite(f"the box of the {name}", box.upper)
        if bool((box.lower > box.upper).any()):
            index = [int(i) for i in (box.lower > box.upper).nonzero()[0]]
            raise SoundnessFault(
                f"two bounds of the {name} contradict each other at {index}: "
                f"[{box.lower[tuple(index)].item()}, {box.upper[tuple(index)].item()}]. "
                "This is a fault of the engine, please report it"
            )
        return box

    # the specification

    def _specification(self, specification: Specification) -> Tensor:
        rows = specification.C.to(device=self.device, dtype=self.dtype)
        constant = specification.d.to(device=self.device, dtype=self.dtype)
        # The cast, and every sum that the constant takes part in; the outputs' own are charged to their steps.
        constant = constant - self.gamma * constant.abs()
        columns, first = [], 0
        for view in self.tape.outputs:
            part = rows[..., first : first + view.size]
            fixed = self.state.constant[view.step][:, view.start : view.stop, None]
            constant = constant + (part @ fixed)[..., 0]
            columns.append((view, part))
            first += view.size
        forms = Forms(constant)
        for view, part in columns:
            forms.add(view, part)
        found = self._by_every_set(forms, len(self.tape.steps) - 1, rows=True)
        self.row_sets = tuple(found)
        return torch.stack(tuple(found.values())).amax(0)


def _pick(values: Tensor, used: Ranges) -> Tensor:
    """Some units of (batch, units), in order."""
    if used == ((0, values.shape[1]),):
        return values
    return torch.cat([values[:, start:stop] for start, stop in used], dim=1)


def _name(step: Step) -> str:
    place = step.place
    name = "input" if isinstance(step, Input) else step.name
    return f"{name} of layer {place.layer}, frame {place.t}{place.suffix}"


def _require_finite(what: str, value: Tensor) -> None:
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        index = [int(i) for i in bad.nonzero()[0]]
        raise NumericalError(
            f"{what} at {index} is {value[tuple(index)].item()}: the numbers overflow this dtype. "
            "Use float64, a smaller radius, or scale the weights"
        )
