"""TREC questions, word by word: how far may one word's vector move before the answer's class can change?

    python -m benchmarks.trec_words [--count 50] [--relaxation parallel]

The bidirectional and the projected LSTM of `examples/train_trec.py`; the first `count` test questions that the model
classifies correctly, in one ragged batch. One frame at a time moves inside an l_2 ball in the space of the GloVe
vectors, all others stay; untargeted. For scale, the radius is compared with the distance from the word's vector to the
nearest vector of another of the 9163 words: above that, the class would survive the exchange of the two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import header, shared_folder, table, trained_model
from examples.train_trec import CLASSES, Questions, load_questions
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options
from gpu_engine.search.radius import certified_radius
from gpu_engine.spec import untargeted

MODELS = ("trec_bilstm", "trec_bilstm_projected")
POSITIONS = ("1st word", "2nd word", "3rd word", "4th word", "later words", "last word", "question mark")
SHOWN = 6


def predicted(model: RecurrentClassifier, questions: Questions) -> Tensor:
    """Classes (count,), each question read up to its own end."""
    found = torch.zeros_like(questions.labels)
    for length in torch.unique(questions.lengths).tolist():
        some = questions.lengths == length
        found[some] = model.logits(questions.x[some, :length].double()).argmax(1)
    return found


def word_radii(
    model: RecurrentClassifier, x: Tensor, lengths: Tensor, labels: Tensor, options: Options, tolerance: float
) -> list[Tensor]:
    """The certified radius of every word by itself, a vector (length,) for each question."""
    question = torch.repeat_interleave(torch.arange(len(x)), lengths)
    word = torch.cat([torch.arange(length) for length in lengths.tolist()])
    direction = torch.zeros(len(question), x.shape[1], dtype=torch.float64)
    direction[torch.arange(len(question)), word] = 1.0
    found = certified_radius(
        model,
        x[question],
        direction,
        untargeted(labels[question], model.classes),
        p=2,
        tolerance=tolerance,
        options=options,
        lengths=lengths[question],
    )
    return list(torch.split(found.proved, lengths.tolist()))


def position(t: int, words: list[str]) -> str:
    """What kind of place word t of a question has."""
    marked = words[-1] == "?"
    if marked and t == len(words) - 1:
        return "question mark"
    if t == len(words) - (2 if marked else 1):
        return "last word"
    return POSITIONS[min(t, 4)]


def nearest_other() -> Callable[[Iterable[str]], list[float]]:
    """The l_2 distance from a word's vector to the nearest vector of another word."""
    with np.load(shared_folder("data") / "glove6B_50d_top9k.npz", allow_pickle=False) as stored:
        vectors = torch.from_numpy(stored["vectors"].astype(np.float64))
        place = {word: k for k, word in enumerate(stored["words"].tolist())}

    def distances(words: Iterable[str]) -> list[float]:
        index = torch.tensor([place[word.lower()] for word in words])
        away = torch.cdist(vectors[index], vectors)
        away[torch.arange(len(index)), index] = torch.inf
        return away.amin(1).tolist()

    return distances


def summary(groups: dict[str, list[float]], order: Iterable[str], where: str) -> str:
    """Count, mean, median and least radius of every group."""
    rows = []
    for name in order:
        values = torch.tensor(groups.get(name, []), dtype=torch.float64)
        if len(values):
            rows.append(
                [name, str(len(values)), *(f"{float(f(values)):.3f}" for f in (torch.mean, torch.median, torch.min))]
            )
    return table([where, "words", "mean radius", "median", "least"], rows)


def report(name: str, questions: Questions, arguments: argparse.Namespace) -> str:
    """The tables of one model."""
    model = trained_model(name)
    correct = predicted(model, questions) == questions.labels
    chosen = correct.nonzero()[: arguments.count, 0]
    lengths, labels = questions.lengths[chosen], questions.labels[chosen]
    x = questions.x[chosen, : int(lengths.max())].double()
    began = time.process_time()
    radii = word_radii(model, x, lengths, labels, Options(arguments.relaxation), arguments.tolerance)
    seconds = time.process_time() - began
    by_place: dict[str, list[float]] = {}
    by_class: dict[str, list[float]] = {}
    known_words, known_radii = [], []
    for k, found in zip(chosen.tolist(), radii, strict=True):
        words = questions.words[k]
        for t, radius in enumerate(found.tolist()):
            by_place.setdefault(position(t, words), []).append(radius)
            by_class.setdefault(CLASSES[int(questions.labels[k])], []).append(radius)
            if questions.known[k][t]:
                known_words.append(words[t])
                known_radii.append(radius)
    nearest = nearest_other()(known_words)
    beyond = sum(radius > distance for radius, distance in zip(known_radii, nearest, strict=True))
    scale = f"{sum(known_radii) / sum(nearest):.0%}; it is larger for {beyond} of the {len(known_words)} words"
    examples = [
        "- "
        + CLASSES[int(questions.labels[k])]
        + ": "
        # A long question fills the page and shows nothing that a short one does not.
        + " ".join(f"{word} ({radius:.2f})" for word, radius in zip(questions.words[k], found.tolist(), strict=True))
        for k, found in zip(chosen.tolist(), radii, strict=True)
        if len(found) <= 12
    ][:SHOWN]
    return (
        f"## {name}\n\n{model.describe()}; test accuracy {float(correct.double().mean()):.1%}.\n"
        f"{len(chosen)} questions of {int(lengths.min())} to {int(lengths.max())} words, {int(lengths.sum())} in all; "
        f"{1e3 * seconds / int(lengths.sum()):.0f} ms of CPU time a word (one radius search).\n"
        f"Of the distance to the nearest other vector (mean {sum(nearest) / len(nearest):.2f}) the radius is "
        f"{scale} that have one.\n\n"
        f"{summary(by_place, POSITIONS, 'place')}\n{summary(by_class, CLASSES, 'class')}\n"
        "The first questions of at most 12 words, the radius behind each word:\n\n" + "\n".join(examples) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--relaxation", default="parallel")
    parser.add_argument("--tolerance", type=float, default=0.01)
    arguments = parser.parse_args()
    questions = load_questions("test")
    sections = [report(name, questions, arguments) for name in arguments.models.split(",")]
    print(header("TREC questions, word by word: certified l_2 radius of each word's vector"))
    print(
        f"Relaxation {arguments.relaxation}, float64, untargeted, tolerance {arguments.tolerance:g}; radii in the unit "
        "of the GloVe vectors (50 values).\nModels: `python examples/train_trec.py`, seed 0.\n"
    )
    print("\n".join(sections), end="")


if __name__ == "__main__":
    main()
