"""What each lever of tightness gains and costs: certified counts against seconds a sample, protocol P1.

    python -m benchmarks.levers [--models a,b] [--radius 0.01] [--first 0] [--levers a,b] [--check]

l_inf, the same radius on every frame, clip [0, 1], untargeted, only correctly classified samples count. `--first 5000`
has images that nothing was chosen by. A lever is a relaxation with options, such as octagon+optimize=20+suppose=10.
`--check` writes every certificate of the last lever and has the kernel check it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.common import P1_MODELS, header, samples, shared_model, table
from benchmarks.counts import options_of
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.certificates.network import Network
from gpu_engine.certificates.writer import Certificates
from gpu_engine.search.certify import BoundedBatch, certify
from gpu_engine.spec import FrameBalls, untargeted
from refcert.kernel.check import Verdict, check

COUNT = 100
LEVERS = "parallel,octagon,octagon+optimize=20,octagon+suppose=10,octagon+optimize=20+suppose=10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(P1_MODELS))
    parser.add_argument("--radius", type=float, default=0.01)
    parser.add_argument("--first", type=int, default=0, help="first test image; the table has 100")
    parser.add_argument("--levers", default=LEVERS)
    parser.add_argument("--check", action="store_true", help="check the certificates of the last lever")
    arguments = parser.parse_args()
    rows = []
    levers = arguments.levers.split(",")
    for name in arguments.models.split(","):
        model = shared_model(name)
        x, labels = samples(name, model, arguments.first + COUNT)
        x, labels = x[arguments.first :], labels[arguments.first :]
        correct = model.logits(x).argmax(1) == labels
        x, labels = x[correct], labels[correct]
        spec = untargeted(labels, model.classes)
        balls = FrameBalls(x, torch.full(x.shape[:2], arguments.radius, dtype=torch.float64), clip=(0.0, 1.0))
        broken = PGD().until_success().worst(Question(model, spec), balls, torch.Generator().manual_seed(0)).found
        opened = 0
        for lever in levers:
            checked, seconds_checked = Checked(), 0.0
            sink = checked if arguments.check and lever == levers[-1] else None
            began = time.process_time()
            found = certify(model, balls, spec, options_of(lever), batch_sink=sink)
            seconds = time.process_time() - began - checked.seconds
            if bool((found.proved & broken).any()):
                raise AssertionError(f"{name}: a sample is proved that PGD breaks")
            proved = int(found.proved.sum())
            opened = opened or len(x) - proved
            seconds_checked = checked.seconds / max(1, checked.valid)
            valid = f"{checked.valid} of {proved}, {seconds_checked:.1f} s each" if sink else "-"
            rows.append(
                [
                    name,
                    lever,
                    str(proved),
                    f"{int((~broken).sum())} of {len(x)}",
                    f"{seconds / len(x):.3f}",
                    f"{seconds / opened:.2f}",
                    valid,
                ]
            )
    print(header("Levers of tightness", "PGD: seed 0; nothing else is random."))
    print(f"Test images {arguments.first} to {arguments.first + COUNT - 1}, radius {arguments.radius:g}.\n")
    head = ["model", "lever", "certified", "PGD leaves, of correct"]
    print(table([*head, "CPU s a sample", "CPU s an open sample", "kernel: VALID"], rows))


class Checked:
    """A sink that writes and checks every certificate of a pass. seconds: CPU time of both."""

    def __init__(self) -> None:
        self.valid, self.seconds = 0, 0.0

    def __call__(self, batch: BoundedBatch) -> None:
        began = time.process_time()
        network = Network(batch.model, "network.safetensors")
        written = Certificates(batch, network)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "network.safetensors").write_bytes(network.content())
            for k, margin in enumerate(written.margins):
                if margin > 0:
                    path = folder / "one.safetensors"
                    path.write_bytes(written.write(k))
                    result = check(path)
                    if result.verdict is not Verdict.VALID:
                        raise AssertionError(f"sample {int(batch.samples[k])}: {result}")
                    self.valid += 1
        self.seconds += time.process_time() - began


if __name__ == "__main__":
    main()
