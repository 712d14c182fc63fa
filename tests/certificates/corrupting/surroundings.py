"""Corruptions of the network, of the folder, of sizes and of the time that is allowed."""

from __future__ import annotations

import os
from pathlib import Path

from tests.certificates.corrupting.values import moved, place_of, put
from tests.certificates.corrupting.work import Work
from tests.certificates.corruption_seeds import CERTIFICATE


def change_weights(work: Work) -> None:
    """Weights move by one place or far, or change places."""
    draw = work.draw
    for _ in range(draw.choice((1, 1, 2, 10))):
        table, k = place_of(work, "network.") or (None, 0)
        if table is None:
            return
        if draw.random() < 0.2:
            j = draw.randrange(len(table.values))
            table.values[k], table.values[j] = table.values[j], table.values[k]
        elif draw.random() < 0.1:
            scale = 2.0 ** draw.choice((-1000, -500, -60, -1, 1, 60, 500, 1000))
            table.values, table.dtype = [scale * x for x in table.values], "F64"
        else:
            put(table, k, moved(draw, table.values[k]))


def change_structure(work: Work) -> None:
    """Another cell, direction, readout or activation."""
    draw, draft = work.draw, work.draft
    words = {
        "rnn_tanh": ("rnn_relu", "rnn_sigmoid"),
        "rnn_relu": ("rnn_tanh", "rnn_sigmoid"),
        "rnn_sigmoid": ("rnn_tanh", "rnn_relu"),
        "gru_reset_before": ("gru", "lstm"),
        "gru>": ("gru_reset_before>", "gru<"),
        "gru<": ("gru_reset_before<", "gru>"),
        "lstm": ("gru",),
        ">": ("<",),
        "<": (">",),
        "final": ("last_frame", "mean", "max", "every"),
        "last_frame": ("final", "mean", "max"),
        "mean": ("max", "final"),
        "max": ("mean", "final"),
        "every": ("final", "last_frame"),
        "|dense": ("|relu/dense", "|tanh/dense", "|sigmoid/dense"),
        "relu/": ("tanh/", "", "relu/relu/"),
        "tanh/": ("relu/", "sigmoid/"),
    }
    word = draw.choice([word for word in words if word in draft.structure])
    draft.structure = draft.structure.replace(word, draw.choice(words[word]), draw.choice((1, -1)))
    if draft.file is None:
        draft.body["network"]["structure"] = draft.structure
    else:
        draft.file_body["structure"] = draft.structure


def other_network(work: Work) -> None:
    """The weights of another certificate's network, or none at all."""
    draw, draft = work.draw, work.draft
    other = draw.choice(work.others).copy()
    if draft.file is None or draw.random() < 0.2:
        name = draw.choice([name for name in draft.tensors if name.startswith("network.")] or ["center"])
        draft.tensors.pop(name, None)
    elif other.file is not None:
        draft.file, draft.file_body = other.file, other.file_body
        draft.weights, draft.structure = other.weights, other.structure
    else:
        change_weights(work)


# The folder

HOSTILE = (
    "../network.safetensors",
    "/etc/passwd",
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a\0b",
    "x" * 256,
    ".hidden",
    "é",
    "nul\n",
)


def put_in_its_place(path: Path, how: int, otherwise: str | Path | None) -> None:
    """In the place of the file: a link to its content, a pipe, a folder, or a link to something else; or nothing."""
    content = path.read_bytes()
    path.unlink()
    if how == 0:
        elsewhere = path.with_name("elsewhere")
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif how == 1:
        os.mkfifo(path)
    elif how == 2:
        path.mkdir()
    elif otherwise is not None:
        path.symlink_to(otherwise)


def hostile_name(work: Work) -> None:
    """The network's file has a name that leads elsewhere, or is no regular file."""
    draw, network = work.draw, work.draft.body["network"]
    if "file" not in network or draw.random() < 0.3:
        network.pop("structure", None)
        network["file"] = draw.choice((*HOSTILE, "missing.safetensors", CERTIFICATE))
        return
    name, how = network["file"], draw.randrange(4)

    work.folder = lambda folder: put_in_its_place(folder / name, how, folder / name)


def hostile_certificate(work: Work) -> None:
    """The certificate itself is a link, a pipe, a folder, or is not there."""
    how = work.draw.randrange(5)

    otherwise = "/dev/zero" if how == 3 else None
    work.folder = lambda folder: put_in_its_place(folder / CERTIFICATE, how, otherwise)


# Sizes


def large(work: Work) -> None:
    """More than a checker can do, or just enough to keep it busy: blocks, frames, steps, texts."""
    draw, draft = work.draw, work.draft
    many = 2 ** draw.randint(4, 16)
    how = draw.randrange(7)
    if how == 0 and draft.file is None:
        draft.structure = "relu/" * (many - 1) + "relu|" + draft.structure.split("|", 1)[1]
        draft.body["network"]["structure"] = draft.structure
    elif how == 1 and "radius" in draft.tensors:
        center, radius = draft.tensors["center"], draft.tensors["radius"]
        center.values, center.shape = center.values * many, (center.shape[0] * many, center.shape[1])
        if len(radius.values) > 1:
            radius.values, radius.shape = radius.values * many, (radius.shape[0] * many,)
    elif how == 2:
        draft.body["steps"] = work.steps * min(many, 1000)
    elif how == 3:
        draft.body["about"] = {"x": "y" * 64 * many}
    elif how == 4:
        draft.header = lambda text: text + " " * 64 * many
    elif how == 5:  # a string that does not end, full of quotation marks
        draft.header = lambda text: text[:1] + '"' + '\\"' * many + text[-1:]
    else:
        draft.body["about"] = {str(k): "" for k in range(many)}


def short_of_time(work: Work) -> None:
    """Nothing is wrong but the time that is allowed."""
    work.seconds = work.draw.choice((0.0, 1e-4, 1e-3, 3e-3, 1e-2))
