"""The specification of one sample, as section 6 of `proofs/spec/certificate_v1.md` writes it, and its last step's rule.

The meaning is read off the rows that were bounded, never taken from elsewhere: what is claimed is what was computed.
Rows that are those of a named question get its name, all others are written as `rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine.certificates.container import CertificateError, Section
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import (
    KthLeast,
    LabelAgainstOthers,
    Reading,
    Specification,
    Steps,
    per_class,
    targeted,
    untargeted,
    untargeted_steps,
)

MARGIN: Final = "margin"
MARGIN_PER_CLASS: Final = "margin.per_class"


@dataclass(frozen=True)
class Asked:
    """The body's `specification` with its tensors, and the rule that says how its rows were bounded."""

    section: Section
    rule: str = MARGIN


def question(specification: Specification, sample: int, model: RecurrentClassifier, time: int) -> Asked:
    """What the rows of one sample ask of the model's outputs for `time` frames.

    Raises CertificateError for a reading of rows that the format has no name for.
    """
    C, d, reading = specification.C[sample].cpu(), specification.d[sample].cpu(), specification.reading
    if not bool(d.any()) and model.classes > 1:
        every = model.readout == "every"
        named = _per_frame(C, model.classes, time, reading) if every else _one_answer(C, model.classes, reading)
        if named is not None:
            return named
    if isinstance(reading, LabelAgainstOthers) or (isinstance(reading, KthLeast) and reading.k > 1):
        raise CertificateError(
            f"the rows of sample {sample} are read by {type(reading).__name__}, but are not those of one label "
            "against other classes; a certificate has no name for this question. Ask that all rows are positive"
        )
    return Asked(Section({"kind": "rows"}, {"rows.C": C, "rows.d": d}))


def _one_answer(C: Tensor, classes: int, reading: Reading) -> Asked | None:
    label, target = int(C[0].argmax()), int(C[-1].argmin())
    both = torch.tensor([label]), torch.tensor([target])
    if isinstance(reading, LabelAgainstOthers):
        rows = per_class(both[0], classes).C[0]
        if torch.equal(C, rows):
            return Asked(Section({"kind": "untargeted", "label": label}), MARGIN_PER_CLASS)
        if label != target and torch.equal(C, rows[[0, 1 + target - (target > label)]]):
            return Asked(Section({"kind": "targeted", "label": label, "target": target}), MARGIN_PER_CLASS)
        return None
    if torch.equal(C, untargeted(both[0], classes).C[0]):
        if isinstance(reading, KthLeast):
            return Asked(Section({"kind": "top_k", "label": label, "k": int(reading.k)}))
        return Asked(Section({"kind": "untargeted", "label": label}))
    if label != target and torch.equal(C, targeted(*both, classes).C[0]):
        return Asked(Section({"kind": "targeted", "label": label, "target": target}))
    return None


def _per_frame(C: Tensor, classes: int, time: int, reading: Reading) -> Asked | None:
    if not isinstance(reading, Steps) or C.shape[0] != reading.steps * (classes - 1) or reading.steps < time:
        return None
    frames = C.reshape(reading.steps, classes - 1, time, classes)
    labels = torch.stack([frames[t, 0, t].argmax() for t in range(time)])
    expected = untargeted_steps(labels[None], classes).C[0].reshape(time, classes - 1, time, classes)
    # Behind a short sequence's end its first frame is asked about again.
    padding = expected[:1].expand(reading.steps - time, -1, -1, -1)
    if not torch.equal(frames, torch.cat((expected, padding))):
        return None
    return Asked(Section({"kind": "untargeted_steps", "labels": labels.tolist()}))
