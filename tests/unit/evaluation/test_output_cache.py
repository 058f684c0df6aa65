"""Stored measurements."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from grmu_audit.errors import IntegrityError
from grmu_audit.evaluation.output_cache import OutputCache, from_bytes, to_bytes
from grmu_audit.records.white_box import Answers, LayerTable, Missing, MissingCode, WhiteBoxOutputs
from grmu_audit.utils.array_files import pack_arrays, unpack_arrays


def test_a_damaged_measurement_is_collected_again_and_never_read(tmp_path: Path) -> None:
    ids = np.array(["a", "b"])
    outputs = WhiteBoxOutputs(ids, {"FGSM@0.1": np.array([1, -1])}, np.zeros((2, 3), np.float32), settings={"seed": 0})
    content = to_bytes(outputs)
    assert from_bytes(content, ids).adversarial_predictions["FGSM@0.1"].tolist() == [1, -1]
    assert to_bytes(from_bytes(content, ids)) == content
    after = WhiteBoxOutputs(
        ids, changed={f"epoch {n}": Answers(np.array([n, 1]), np.ones(2, np.float32)) for n in range(12)}, distance=0.25
    )
    read = from_bytes(to_bytes(after), ids)
    assert list(read.changed) == list(after.changed)
    assert read.changed["epoch 11"].prediction.tolist() == [11, 1]
    assert read.distance == 0.25
    with pytest.raises(IntegrityError, match="not of 1 samples"):
        from_bytes(to_bytes(after), ids[:1])
    for damaged in (b"", content[:-40], content.replace(b"facts", b"fakts")):
        with pytest.raises(IntegrityError, match="cannot be read"):
            from_bytes(damaged, ids)
    with pytest.raises(IntegrityError, match="not of 1 samples"):
        from_bytes(content, ids[:1])
    shelf = OutputCache(tmp_path)
    shelf.write("ab" * 32, outputs)
    shelf.path("ab" * 32).write_bytes(b"broken")
    assert shelf.read("ab" * 32, ids) is None


def test_a_reason_keeps_its_code_and_files_of_earlier_versions_hold_the_text_alone() -> None:
    ids = np.array(["a"])
    reasons = {
        "layers": Missing(MissingCode.NOT_APPLICABLE, "no layer"),
        "AA@0.1": Missing(MissingCode.NOT_INSTALLED, "install it"),
    }
    outputs = WhiteBoxOutputs(ids, missing=reasons)
    assert from_bytes(to_bytes(outputs), ids).missing == reasons
    assert not outputs.complete
    assert not WhiteBoxOutputs(ids, missing={"fine-tuning": Missing(MissingCode.NO_TIME, "later")}).complete
    assert WhiteBoxOutputs(ids, missing={"layers": Missing(MissingCode.NOT_APPLICABLE, "is not installed there")}).complete
    content = to_bytes(WhiteBoxOutputs(ids))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        plain = json.loads(archive.read("facts.json"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("facts.json", json.dumps({**plain, "missing": {"layers": "no layer"}}))
    assert from_bytes(buffer.getvalue(), ids).missing == {"layers": Missing(MissingCode.NOT_APPLICABLE, "no layer")}
    for wrong in ({"layers": {"code": "odd", "text": "x"}}, {"layers": {"text": "x"}}, {"layers": 3}, ["layers"]):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("facts.json", json.dumps({**plain, "missing": wrong}))
        with pytest.raises(IntegrityError, match="cannot be read"):
            from_bytes(buffer.getvalue(), ids)


def test_rows_are_stored_by_name_and_files_in_the_order_of_the_data_are_written_again(tmp_path: Path) -> None:
    ids = np.array(["c", "a", "b"])
    features, answers = np.array([[3.0], [1.0], [2.0]], np.float32), np.array([3, 1, 2])
    outputs = WhiteBoxOutputs(ids, {"FGSM@0.1": answers}, features, changed={"int8": Answers(answers, features[:, 0])})
    plain, arrays = unpack_arrays(to_bytes(outputs))
    for name in ("attacked/FGSM@0.1", "predicted/int8", "margin/int8", "features"):
        assert arrays[name].ravel().tolist() == [1, 2, 3], name
    shelf, key = OutputCache(tmp_path), "ab" * 32
    before = {**arrays, **{name: arrays[name][[2, 0, 1]] for name in arrays}}
    shelf.path(key).parent.mkdir(parents=True)
    shelf.path(key).write_bytes(pack_arrays({k: v for k, v in plain.items() if k != "sorted_by"}, before))
    read = shelf.read(key, ids)
    assert read is not None
    assert read.adversarial_predictions["FGSM@0.1"].tolist() == [3, 1, 2]
    assert shelf.path(key).read_bytes() == to_bytes(outputs)
    assert shelf.read(key, np.array(["c", "a", "x"])) is None, "sorted under another key"


def test_a_table_of_layers_comes_back_and_a_file_as_it_should_be_is_not_written_again(tmp_path: Path) -> None:
    values = {"var/input/class": np.array([[[1.0, 2.0], [1.5, np.nan]]])}
    layers = LayerTable(("body.1",), np.array([0, 1]), np.array([0, 3]), 2, np.array([[4, 5]]), values)
    ids, shelf, key = np.array(["a", "b"]), OutputCache(tmp_path), "cd" * 32
    shelf.write(key, WhiteBoxOutputs(ids, layers=layers))
    os.utime(shelf.path(key), (1, 1))
    read = shelf.read(key, ids)
    assert read is not None
    assert read.layers is not None
    assert (read.layers.layers, read.layers.attributes) == (("body.1",), 2)
    for name in ("classes", "groups", "counts"):
        assert np.array_equal(getattr(read.layers, name), getattr(layers, name)), name
    assert np.array_equal(read.layers.values["var/input/class"], values["var/input/class"], equal_nan=True)
    assert shelf.path(key).stat().st_mtime == 1
    assert shelf.read("ef" * 32, ids) is None
