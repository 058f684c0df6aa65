"""MultiNLI as published: labels, groups, token numbers, batches by length."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import multinli

from grmu_audit.data.batches import BatchSource
from grmu_audit.data.catalog import DataSpec, load_dataset
from grmu_audit.data.dataset import Dataset
from grmu_audit.data.text import LARGEST_FILE, Tokenizer, Tokens
from grmu_audit.errors import InputError
from grmu_audit.training.loop import steps_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multinli.write(tmp_path_factory.mktemp("data")).parent


@pytest.fixture(scope="module")
def texts(root: Path) -> Dataset:
    return load(root)


def load(root: Path, **options: object) -> Dataset:
    return load_dataset(DataSpec("multinli", {"root": str(root), **options}))


def test_groups_and_splits_are_those_of_the_metadata(root: Path, texts: Dataset) -> None:
    with (root / "multinli_1.0" / "metadata_random.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    named = {"0": "train", "1": "val", "2": "test"}
    counted = Counter((named[r["split"]], int(r["gold_label"]), int(r["sentence2_has_negation"])) for r in rows)
    frame = texts.frame
    assert Counter(zip(frame["split"], frame["target"], frame["attribute"], strict=True)) == counted
    assert len(frame) == 288, "twelve of 300 pairs have no agreed label"
    assert texts.header.class_names == ("contradiction", "entailment", "neutral")
    assert texts.header.attribute_names == ("no negation", "negation")
    assert frame["id"].iloc[0] == "train-000001"
    assert "train-000025" not in set(frame["id"])
    assert frame["id"].iloc[-1] == "dev_mismatched-000039"


def test_a_pair_is_two_sentences_of_known_words(root: Path, texts: Dataset) -> None:
    words = (root / "multinli_1.0" / "vocab.txt").read_text().splitlines()
    decoded = " ".join(words[i] for i in texts.pixels[1])
    assert decoded.startswith("[CLS] on day 1 , the ")
    assert decoded.count("[SEP]") == 2
    assert decoded.endswith(". [SEP]")
    assert texts.header.vocabulary is not None
    assert (texts.header.vocabulary.size, texts.header.vocabulary.pad, texts.header.vocabulary.sep) == (len(words), 0, 3)
    assert texts.header.length == max(len(t) for t in texts.pixels) > min(len(t) for t in texts.pixels)


def test_tab_separated_files_give_the_same(texts: Dataset, tmp_path: Path) -> None:
    other = load(multinli.write(tmp_path, ending="txt").parent)
    assert other.digest == texts.digest


def test_a_longer_limit_or_another_tokenizer_is_other_data(root: Path, texts: Dataset) -> None:
    short = load(root, length=12)
    assert short.header.length == 12
    assert short.digest != texts.digest
    assert all(t[-1] == 3 and Counter(t.tolist())[3] == 2 for t in short.pixels), "both sentences keep their end"


def test_token_numbers_are_cached_and_a_damaged_file_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRMU_AUDIT_CACHE", str(tmp_path / "cache"))
    root = multinli.write(tmp_path / "data").parent
    digest = load(root).digest
    (stored,) = (tmp_path / "cache" / "tokens").iterdir()
    first = stored.stat().st_mtime_ns
    assert load(root).digest == digest
    assert stored.stat().st_mtime_ns == first, "the second time they are read"
    stored.write_bytes(stored.read_bytes()[:-40])
    assert load(root).digest == digest
    load(root, length=20)
    assert len(list(stored.parent.iterdir())) == 2


def test_copies_of_training_pairs_are_left_out_and_counted(tmp_path: Path) -> None:
    root = multinli.write(tmp_path, copies=True).parent
    every, without = load(root, copies="keep"), load(root)
    learnt = {every.content[i] for i in every.rows("train")}
    again = [i for split in ("val", "test") for i in every.rows(split) if every.content[i] in learnt]
    assert len(again) > 20
    assert without.excluded == {"copy of a training pair": len(again)}
    assert len(without) == len(every) - len(again)
    assert not learnt & {without.content[i] for split in ("val", "test") for i in without.rows(split)}
    kept = [name for i, name in enumerate(every.frame["id"]) if i not in set(again)]
    assert without.frame["id"].tolist() == kept


def test_batches_hold_texts_of_like_length_and_every_row_once(texts: Dataset) -> None:
    source = BatchSource(texts, CPU)
    rows = texts.rows("train")
    batches = list(source.batches(rows, 8, torch.Generator().manual_seed(0)))
    assert len(batches) == steps_of(rows, 8)
    assert sorted(r for batch in batches for r in batch.rows.tolist()) == rows.tolist()
    shuffled = np.random.default_rng(0).permutation(rows)
    padding = sum(int((batch.pixels == 0).sum()) for batch in batches)
    without = sum(int((source.take(torch.from_numpy(part)).pixels == 0).sum()) for part in np.array_split(shuffled, len(batches)))
    assert padding < 0.35 * without
    order = [batch.pixels.shape[1] for batch in batches]
    assert order != sorted(order), "short batches do not all come first"
    again = list(source.batches(rows, 8, torch.Generator().manual_seed(0)))
    other = list(source.batches(rows, 8, torch.Generator().manual_seed(1)))
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(batches, again, strict=True))
    assert {tuple(sorted(b.rows.tolist())) for b in batches} != {tuple(sorted(b.rows.tolist())) for b in other}
    weights = np.where(source.group.numpy()[rows] == 5, 50.0, 1.0)
    drawn = torch.cat([b.group for b in source.batches(rows, 8, torch.Generator().manual_seed(0), weights=weights)])
    assert float((drawn == 5).float().mean()) > 0.6


def test_batches_are_padded_to_their_longest_text(texts: Dataset) -> None:
    source = BatchSource(texts, CPU)
    batch = source.take(torch.tensor([4, 0]))
    assert batch.pixels.shape == (2, max(len(texts.pixels[4]), len(texts.pixels[0])))
    assert [row[row != 0].tolist() for row in batch.pixels] == [texts.pixels[4].tolist(), texts.pixels[0].tolist()]


def change(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "multinli_1.0_dev_matched.jsonl").unlink(), r"sentences: .*multinli_1.0_dev_matched.jsonl or .*\.txt"),
        (lambda f: (f / "metadata_random.csv").unlink(), "labels, groups and splits: .*metadata_random.csv"),
        (lambda f: (f / "vocab.txt").unlink(), "no tokenizer at .*tokenizer.json or .*vocab.txt: put vocab.txt"),
        (lambda f: change(f / "vocab.txt", "[SEP]", "sep"), r"this tokenizer has no \[SEP\]: take the one of a BERT"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json: is not a tokenizer that can be read"),
        (lambda f: change(f / "multinli_1.0_train.jsonl", "{", "["), "line 1 is not a JSON object"),
        (lambda f: change(f / "multinli_1.0_train.jsonl", "sentence2", "second"), "record 1 has no gold_label, sentence1 and"),
        (
            lambda f: change(f / "metadata_random.csv", "\n0,0,", "\n0,1,"),
            "row 2: gold_label is '1', but pair train-000001 is 'contr",
        ),
        (lambda f: change(f / "metadata_random.csv", "\n1,", "\n0,"), "row 3: '0' counts none of the 300 pairs, or one twice"),
        (lambda f: change(f / "metadata_random.csv", "_negation,", "_negations,"), "no column 'sentence2_has_negation'"),
    ],
)
def test_damage_is_named(damage: object, message: str, tmp_path: Path) -> None:
    folder = multinli.write(tmp_path)
    damage(folder)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def with_index(path: Path, name: str) -> None:
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{name},{head or ''}", *(f"{i},{line}" for i, line in enumerate(lines))]) + "\n")


def without_index(path: Path) -> None:
    path.write_text("\n".join(line.partition(",")[2] for line in path.read_text().splitlines()) + "\n")


TRAIN = "multinli_1.0_train.jsonl"
FORMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "LFS pointer": (
        lambda f: (f / TRAIN).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        f"{TRAIN}: it looks like a Git LFS pointer",
    ),
    "HTML page": (lambda f: (f / TRAIN).write_text("<!DOCTYPE html><html></html>"), f"{TRAIN}: it looks like an HTML page"),
    "gzip": (lambda f: (f / TRAIN).write_bytes(gzip.compress((f / TRAIN).read_bytes())), f"{TRAIN}: it looks like a file compr"),
    "UTF-16": (lambda f: (f / TRAIN).write_text((f / TRAIN).read_text(), "utf-16"), f"{TRAIN}: it looks like UTF-16"),
    "index of pandas": (
        lambda f: with_index(f / "metadata_random.csv", "Unnamed: 0.1"),
        "its first column 'Unnamed: 0.1' is an index that another program wrote",
    ),
    "index written twice": (
        lambda f: (
            change(f / "metadata_random.csv", ",gold_label", "Unnamed: 0,gold_label"),
            with_index(f / "metadata_random.csv", ""),
        ),
        "its first column '' is an index that another program wrote",
    ),
    "without its index": (
        lambda f: without_index(f / "metadata_random.csv"),
        "its first column is 'gold_label', where the numbers",
    ),
    "numbers with points": (
        lambda f: change(f / "metadata_random.csv", "\n1,", "\n1.0,"),
        "'1.0' counts none of the 300 pairs, or one twice (only the notation differs from '1')",
    ),
    "semicolons": (
        lambda f: (f / "metadata_random.csv").write_text((f / "metadata_random.csv").read_text().replace(",", ";")),
        "metadata_random.csv: the cells are separated by semicolons",
    ),
}


@pytest.mark.parametrize(("damage", "message"), FORMS.values(), ids=FORMS)
def test_forms_of_other_programs_are_named(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    damage(multinli.write(tmp_path))
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert message in str(caught.value)


def test_a_byte_order_mark_and_line_ends_of_other_systems_do_not_count(texts: Dataset, tmp_path: Path) -> None:
    folder = multinli.write(tmp_path)
    for path in (folder / TRAIN, folder / "metadata_random.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(tmp_path).digest == texts.digest


def test_tokens_of_nothing() -> None:
    assert (len(Tokens.of([])), Tokens.of([]).longest) == (0, 0)


def test_a_file_far_too_large_for_a_tokenizer_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)  # a hole: takes no disk
    with pytest.raises(InputError, match=r"tokenizer\.json: larger than 64 MiB: it is not a tokenizer"):
        Tokenizer.read(tmp_path / "tokenizer.json", 12)


def test_batches_of_texts_need_tokens_and_a_vocabulary(texts: Dataset) -> None:
    plain = np.zeros((len(texts), 4), dtype=np.int32)
    for other in (replace(texts, pixels=plain), replace(texts, header=replace(texts.header, vocabulary=None))):
        with pytest.raises(TypeError, match="a dataset of texts holds Tokens, and its header a Vocabulary"):
            BatchSource(other, CPU)
