"""Runs to report on: real small ones, and made-up ones with names that try to break out of the page."""

import numpy as np

from refcert.app.certify_run import run as certify
from refcert.app.progress import Progress
from refcert.app.request import Request
from refcert.audit.plane_table import PlaneTable

HOSTILE_MODEL = "<script>alert('model')</script>&amp;.safetensors"
HOSTILE_DATA = '"><img src=x onerror=alert(1)>.npz'
HOSTILE_UNIT = "m/s</dd><b>"
NOTHING = "\N{EN DASH}"


def request(**changes):
    plain = {
        "model": "digits_lstm",
        "data": "digits",
        "count": 4,
        "norm": float("inf"),
        "radius": None,
        "frames": "all",
        "clip": (0.0, 1.0),
        "target": "untargeted",
        "relaxation": "parallel",
        "dtype": "float64",
        "device": "cpu",
        "batch_size": 3,
        "tolerance": 0.5,
        "seed": 0,
    }
    return Request(**(plain | changes))


def carry_out(asked, out, *, audit):
    certify(asked, out=out, resume=False, audit=audit, keep_planes=True, workers=1, progress=Progress(None))
    return out


def said(**changes):
    """What a made-up run's request.json says."""
    asked = request(**changes).to_json()
    count = asked["count"]
    return {
        "request": asked,
        "audit": True,
        "model": {"source": asked["model"], "digest": "ab" * 32, "stored_dtype": "float32"},
        "data": {"name": asked["data"], "unit": HOSTILE_UNIT, "digest": "cd" * 32, "shape": [count, 4, 3]},
        "versions": {"python": "3", "refcert": "0"},
        "machine": "some <i>machine</i>",
        "started": "2026-01-02T03:04:05+00:00",
    }


def sample(index, **fields):
    plain = {
        "index": index,
        "label": index % 10,
        "predicted": index % 10,
        "correct": True,
        "margin": 0.5,
        "seconds": 0.1,
    }
    return plain | fields


def table(offsets, samples):
    """Planes over one box: upper planes of sigmoid(v) tanh(z) with these offsets."""
    count = len(offsets)
    plain = {"lower_v": -1.25, "upper_v": 1.5, "lower_z": -0.75, "upper_z": 2.0, "slope_v": 0.125, "slope_z": 0.25}
    columns = {name: np.full(count, value) for name, value in plain.items()}
    columns |= {
        "kind": np.full(count, "sigmoid_times_tanh"),
        "side": np.full(count, "upper"),
        "offset": np.array(offsets, dtype=float),
    }
    origin = {
        "sample": np.array(samples),
        "layer": np.zeros(count, dtype=int),
        "t": np.full(count, 3),
        "unit": np.arange(count),
        "product": np.full(count, "output"),
    }
    return PlaneTable(columns, origin)
