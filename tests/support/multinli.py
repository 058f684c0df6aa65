"""A small MultiNLI in its published layout, and a tokenizer built from its sentences."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

ANIMALS = ("dog", "cat", "horse", "bird", "fish", "fox")
PLACES = ("house", "garden", "river", "forest")
LONG = "and after a long and winding walk over the hills it came back to sleep"
LABELS = ("contradiction", "entailment", "neutral")


def sentences(rng: np.random.Generator, label: str, negation: bool) -> tuple[str, str]:
    animal, place = rng.choice(ANIMALS), rng.choice(PLACES)
    first = f"The {animal} was in the {place}" + (f" {LONG}" if rng.random() < 0.3 else "") + "."
    other = rng.choice([name for name in ANIMALS if name != animal])
    second = {
        "entailment": f"A {animal} was in a {place}",
        "contradiction": f"The {other} was in the {place}",
        "neutral": f"The {animal} liked the {place}",
    }[label]
    return first, f"{second}, and nobody saw it." if negation else f"{second}."


def write(root: Path, count: int = 300, *, ending: str = "jsonl", seed: int = 0, copies: bool = False) -> Path:
    """Three sentence files with a few pairs without agreement, and the metadata that count their lines."""
    rng = np.random.default_rng(seed)
    folder = root / "multinli_1.0"
    folder.mkdir(parents=True)
    records: list[tuple[str, str, str]] = []
    for index in range(count):
        if index % 25 == 24:
            records.append(("-", "Nobody agreed on this.", "It is so."))
            continue
        label = LABELS[index % 3]
        first, second = sentences(rng, label, bool(rng.random() < (0.6 if label == "contradiction" else 0.25)))
        records.append((label, first if copies else f"On day {index}, {first}", second))
    bounds = {"train": (0, count - 80), "dev_matched": (count - 80, count - 40), "dev_mismatched": (count - 40, count)}
    for part, (start, stop) in bounds.items():
        _sentence_file(folder / f"multinli_1.0_{part}.{ending}", records[start:stop])
    lines = [",gold_label,sentence2_has_negation,split"]
    for index, (label, _, second) in enumerate(records):
        if label != "-":
            split = rng.choice(3, p=(0.5, 0.2, 0.3))
            lines.append(f"{index},{LABELS.index(label)},{int('nobody' in second)},{split}")
    (folder / "metadata_random.csv").write_text("\n".join(lines) + "\n")
    vocabulary(folder / "vocab.txt", [text for _, *pair in records for text in pair])
    return folder


def _sentence_file(path: Path, records: list[tuple[str, str, str]]) -> None:
    if path.suffix == ".jsonl":
        trees = [
            {"annotator_labels": [r[0]], "genre": "fiction", "gold_label": r[0], "sentence1": r[1], "sentence2": r[2]}
            for r in records
        ]
        path.write_text("".join(json.dumps(tree) + "\n" for tree in trees))
        return
    lines = ["gold_label\tsentence1_parse\tsentence1\tsentence2\tpromptID"]
    lines += [f'{label}\t(ROOT "\tx)\t{first}\t{second}'.replace('"\tx', '"x') + "\t1" for label, first, second in records]
    path.write_text("\n".join(lines) + "\n")


def vocabulary(path: Path, texts: list[str]) -> None:
    """The words of the texts, as a WordPiece vocabulary in the form of BERT's."""
    words = Counter(word for text in texts for word in text.lower().replace(".", " .").replace(",", " ,").split())
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)]) + "\n")
