"""Linear models and ensembles of shards as classifiers: stored, divided, averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.weights import weights_digest

from grmu_audit.errors import InputError
from grmu_audit.models.catalog import build
from grmu_audit.models.classifier import ModelSpec
from grmu_audit.models.guaranteed import ShardEnsemble, ShardOptions, concentrated_places, shards_of
from grmu_audit.models.weights import load_model, save_model

TABLE = ModelSpec("linear", 3, (5,), (0.0,) * 5, (1.0,) * 5)
IMAGES = ModelSpec("sisa", 2, (3, 8, 8), (0.5,) * 3, (0.5,) * 3, (), {"shards": 3, "member_options": {"widths": [4]}})


@pytest.mark.parametrize("spec", [TABLE, IMAGES])
def test_a_version_of_either_is_stored_read_and_exported(spec: ModelSpec, tmp_path: Path) -> None:
    model = build(spec, 3).eval()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert weights_digest(again) == weights_digest(model)
    inputs = torch.rand(4, *spec.image_size)
    assert torch.equal(again(inputs), model(inputs))
    graph = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.allclose(graph(inputs), model(inputs), atol=1e-6)


def test_an_ensemble_answers_with_the_mean_of_its_members() -> None:
    model = build(IMAGES, 0).eval()
    inputs = torch.rand(5, 3, 8, 8)
    assert isinstance(model.body, ShardEnsemble)
    each = torch.stack([model.body.member(n, model.spec).eval()(inputs) for n in range(3)])
    assert torch.allclose(model(inputs), each.mean(0), atol=1e-6)
    assert len({float(logits[0, 0].detach()) for logits in each}) == 3


def test_a_member_shares_its_weights_with_the_ensemble() -> None:
    model = build(IMAGES, 0)
    assert isinstance(model.body, ShardEnsemble)
    member = model.body.member(1, model.spec)
    with torch.no_grad():
        member.head.bias.fill_(7.0)
    assert float(model.state_dict()["body.members.1.1.bias"][0].detach()) == 7.0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ModelSpec("sisa", 2, (9,), (0.0,) * 9, (1.0,) * 9, (), {"member": "sisa"}), "not another ensemble"),
        (ModelSpec("sisa", 2, (9,), (0.0,) * 9, (1.0,) * 9, (), {"member": "mlp", "shards": 1}), "greater than or equal to 2"),
        (ModelSpec("sisa", 2, (9,), (0.0,) * 9, (1.0,) * 9, (), {"member": "mlp", "places": [[4]]}), "a shard that is not there"),
        (ModelSpec("linear", 2, (9,), (), ()), "not for texts"),
        (ModelSpec("linear", 2, (9,), (0.0,) * 9, (1.0,) * 9, (), {"l2": 0}), "greater than 0"),
    ],
)
def test_impossible_networks_are_refused(spec: ModelSpec, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build(spec, 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.integers(0, 3)), min_size=1, max_size=60), st.data())
def test_a_rows_shard_does_not_depend_on_the_other_rows(rows: list[tuple[str, int]], data: st.DataObject) -> None:
    places = tuple(tuple(data.draw(st.sets(st.integers(0, 4), min_size=1))) for _ in range(4))
    options = ShardOptions(shards=5, rule="concentrated", places=places, seed=data.draw(st.integers(0, 9)))
    people, groups = [name for name, _ in rows], np.array([group for _, group in rows])
    every = shards_of(people, groups, options)
    assert all(int(shard) in places[group] for shard, group in zip(every, groups.tolist(), strict=True))
    kept = np.flatnonzero(np.array(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))))
    alone = shards_of([people[i] for i in kept], groups[kept], options)
    assert alone.tolist() == every[kept].tolist()


def test_balanced_shards_are_about_equally_large_and_mixed() -> None:
    people, groups = [f"p{n}" for n in range(8000)], np.arange(8000) % 2
    shard = shards_of(people, groups, ShardOptions(shards=4))
    counts = np.array([[((shard == s) & (groups == g)).sum() for g in range(2)] for s in range(4)])
    assert counts.min() > 900
    assert counts.max() < 1100  # 1000 expected, standard deviation 27


def test_one_person_is_in_one_shard_of_a_group() -> None:
    assert len(set(shards_of(["ann"] * 9, np.zeros(9, dtype=np.int64), ShardOptions(shards=8)).tolist())) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1, max_size=9), st.integers(2, 16))
def test_concentrated_groups_lie_in_their_share_of_the_shards(counts: list[int], shards: int) -> None:
    places = concentrated_places(np.array(counts), shards)
    assert [len(one) == len(set(one)) >= 1 for one in places] == [True] * len(counts)
    assert len(places[int(np.argmax(counts))]) == (shards if max(counts) else 1)
    widths = [len(places[i]) for i in sorted(range(len(counts)), key=lambda i: counts[i])]
    assert widths == sorted(widths)
