"""Slopes trained for every bound: sound for every network and set, never worse, proved by the audit and the kernel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from gpu_engine.bounds import Box
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import FrameBalls
from gpu_engine.loading import load_model
from gpu_engine.optimize.ascent import Ascent
from gpu_engine.optimize.exact_offsets import curve_offset, product_offset
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.curves import ABOVE, BELOW
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import untargeted
from refcert.app.datasets import load_sequences
from refcert.app.plane_export import PlaneCollector
from refcert.app.pretrained import pretrained_path
from refcert.audit.plane_audit import audit_planes
from refcert.kernel.check import Verdict, check
from refcert.strategies import questions
from tests.engine.certificate_cases import batches
from tests.engine.certificate_files import open_file
from tests.engine.test_bounds_law import excess

PARALLEL = RELAXATIONS["parallel"]
STEPS = 3
CLIP = (0.0, 1.0)


def digits(count, radius):
    """The shipped LSTM, balls around its first samples, and their questions."""
    model = load_model(pretrained_path("digits_lstm"))
    data = load_sequences("digits", input_size=model.input_size, count=count, classes=model.classes)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
    balls = FrameBalls(x, torch.full(x.shape[:2], radius, dtype=torch.float64), clip=CLIP)
    return model, balls, untargeted(labels, model.classes)


@given(questions())
@settings(max_examples=15)
def test_bounds_hold_on_every_point(question):
    trained = bound(
        question.model, question.inputs, question.spec, PARALLEL, dtype=torch.float64, trainer=Ascent(STEPS)
    )
    _, beyond = excess(question, trained.lower)
    assert beyond <= 0


@given(questions(max_size=2, time=(1, 2)))
@settings(max_examples=10)
def test_every_plane_of_every_set_is_proved(question):
    collector = PlaneCollector(0)
    found = bound(question.model, question.inputs, question.spec, PARALLEL, dtype=torch.float64, trainer=Ascent(2))
    collector.add(torch.arange(len(question.inputs)), found.products)
    used = {product.origin.relaxation for product in found.products}
    assert used == {which for sets in (*found.sets.values(), found.row_sets) for which in sets}
    summary = audit_planes(collector.table()).summary
    assert summary["proved"] == sum(summary.values()) > 0


@pytest.fixture(scope="module")
def nearly():
    """Samples that the relaxation proves, and the three that it misses by the least; their margins."""
    model, balls, rows = digits(30, 0.03)
    margin = certify(model, balls, rows).margin
    order = torch.where(margin > 0, -torch.inf, margin).argsort(descending=True)
    index = torch.cat((order[:3], (margin > 0).nonzero()[:2, 0]))
    return model, balls.select(index), rows.select(index), margin[index]


def test_more_is_proved_and_nothing_is_lost(nearly):
    model, balls, rows, before = nearly
    after = certify(model, balls, rows, Options(optimize=20)).margin
    assert bool((after[:3] > before[:3]).all())
    assert int((before > 0).sum()) == 2 < int((after > 0).sum())
    torch.testing.assert_close(after[3:], before[3:], rtol=1e-9, atol=1e-9)


def test_samples_do_not_interact(nearly):
    """In a batch of the same size a sample's bounds do not depend on which the others are. In one of another size sums
    round in another order, and where a plane touches at two points an ascent goes on from either of them."""
    model, balls, rows, _ = nearly
    pairs = [torch.tensor(k) for k in ([0, 1], [0, 2])]
    found = [certify(model, balls.select(k), rows.select(k), Options(optimize=3)).margin for k in pairs]
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-9)


def test_what_a_forward_pass_rules_out_is_not_trained():
    """A misclassified sample keeps the bounds of the first pass."""
    model, balls, _ = digits(4, 0.001)
    wrong = untargeted((model.logits(balls.center).argmax(1) + 1) % model.classes, model.classes)
    plain, trained = (certify(model, balls, wrong, Options(optimize=steps)).lower for steps in (0, 5))
    assert torch.equal(plain, trained)


def test_certificates_with_trained_slopes_hold(nearly, tmp_path):
    """Every box names its relaxation's set and one of its own; the kernel proves it all."""
    model, balls, rows, _ = nearly
    network = Network(model, "network.safetensors")
    (tmp_path / network.file).write_bytes(network.content())
    (batch,) = batches(model, balls.select(slice(3)), rows.select(slice(3)), Options(optimize=20))
    written = Certificates(batch, network)
    content = written.write(written.margins.index(max(written.margins)), {})
    sets = [step["sets"] for step in open_file(content).body["steps"] if "sets" in step]
    own = [which for one in sets for which in one if which]
    assert {one[0] for one in sets} == {0}
    assert len(own) == len(set(own)) > 8
    path = tmp_path / "trained.safetensors"
    path.write_bytes(content)
    assert check(path).verdict == Verdict.VALID


@pytest.mark.parametrize("kind", ["sigmoid_times_tanh", "sigmoid_times_identity"])
def test_gradients_of_product_offsets(kind):
    generator = torch.Generator().manual_seed(0)
    v, z = (boxes(200, generator) for _ in range(2))
    slopes = [
        torch.randn(200, generator=generator, dtype=torch.float64).mul(0.2).requires_grad_(True) for _ in range(2)
    ]
    offset = product_offset(kind, (v, z), *slopes)
    for which, slope in enumerate(torch.autograd.grad(offset.sum(), slopes)):
        check_slope(lambda values: product_offset(kind, (v, z), *values), slopes, which, slope)


@pytest.mark.parametrize("sign", [ABOVE, BELOW])
@pytest.mark.parametrize("kind", ["tanh", "sigmoid", "relu"])
def test_gradients_of_curve_offsets(kind, sign):
    generator = torch.Generator().manual_seed(0)
    v = boxes(200, generator)
    slope = torch.randn(200, generator=generator, dtype=torch.float64).mul(0.3).requires_grad_(True)
    (found,) = torch.autograd.grad(curve_offset(kind, sign, v, slope).sum(), slope)
    check_slope(lambda values: curve_offset(kind, sign, v, *values), [slope], 0, found)


def boxes(count, generator):
    ends = torch.randn(2, count, generator=generator, dtype=torch.float64) * 2
    return Box(ends.amin(0), ends.amax(0))


def check_slope(offset, slopes, which, found):
    """A subgradient of a convex function: the tangent lies below it on both sides."""
    with torch.no_grad():
        here = offset(slopes)
        for step in (-1.0, -1e-2, 1e-2, 1.0):
            there = [s + step if k == which else s for k, s in enumerate(slopes)]
            assert bool((offset(there) >= here + step * found - 1e-9).all())


@pytest.mark.parametrize("steps", [-1, -20])
def test_a_number_of_steps_that_makes_no_sense_is_refused(steps):
    with pytest.raises(SpecificationError, match=f"optimize is {steps}; give a number of steps"):
        Options(optimize=steps)
    with pytest.raises(SpecificationError, match="steps is 0; give a whole number from 1 on"):
        Ascent(0)
