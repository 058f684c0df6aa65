from __future__ import annotations

import numpy as np
import pytest

from grmu_audit.errors import InputError
from grmu_audit.unlearning.methods import methods
from grmu_audit.unlearning.router import route

TRAIN = np.array([[400, 100], [80, 420]])


def test_a_whole_class_is_a_class_request() -> None:
    found = route(TRAIN, np.array([[0, 0], [80, 410]]))
    assert (found.kind, found.method, found.reweight) == ("class", "delete", False)
    assert "490 of 490 samples are 95 % or more of class 1" in found.why


def test_a_whole_class_and_many_others_is_no_class_request() -> None:
    assert route(TRAIN, np.array([[100, 30], [80, 420]])).kind == "group"


def test_everything_is_no_class_request() -> None:
    assert route(TRAIN, TRAIN).kind == "random"


@pytest.mark.parametrize("forget", [[[0, 0], [40, 0]], [[0, 50], [40, 0]], [[0, 0], [80, 0]]])
def test_rare_groups_are_group_requests(forget: list[list[int]]) -> None:
    found = route(TRAIN, np.array(forget))
    assert (found.kind, found.method, found.reweight) == ("group", "shrink", True)
    assert "total variation" in found.why


@pytest.mark.parametrize("size", [1, 5, 30, 300])
def test_random_draws_are_random_requests(size: int) -> None:
    rng = np.random.default_rng(size)
    kinds = [route(TRAIN, rng.multivariate_hypergeometric(TRAIN.ravel(), size).reshape(2, 2)).kind for _ in range(200)]
    assert kinds.count("random") >= (190 if size > 1 else 160)


def test_texts_get_a_method_that_moves_no_inputs() -> None:
    found = route(TRAIN, np.array([[40, 10], [8, 42]]), "text")
    assert (found.kind, found.method, found.reweight) == ("random", "neggrad_plus", False)
    assert "inputs that can be moved" in found.why
    assert route(TRAIN, np.array([[0, 0], [40, 0]]), "text").method == "shrink"


def test_the_routed_methods_exist() -> None:
    routed = {route(TRAIN, np.array(f)).method for f in ([[0, 0], [80, 410]], [[0, 0], [40, 0]], [[40, 10], [8, 42]])}
    assert routed == {"delete", "shrink", "amun"}
    assert routed <= set(methods.names())


@pytest.mark.parametrize(("forget", "message"), [(np.zeros((2, 2)), "empty"), (TRAIN + 1, "more samples")])
def test_impossible_requests_are_errors(forget: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        route(TRAIN, forget.astype(np.int64))
