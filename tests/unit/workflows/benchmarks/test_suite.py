from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.benchmarks import tiny_suite

from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.unlearning.methods import methods
from grmu_audit.workflows.benchmarks import load_suite, suite_names
from grmu_audit.workflows.benchmarks.suite import Suite, adapted, varied


def test_every_suite_of_the_package_is_valid_and_names_known_methods() -> None:
    wanted = {"smoke", "photodigits", "paper-celeba", "paper-waterbirds", "paper-fairface", "paper-multinli", "paper-lambda"}
    assert wanted | {"paper-miu-ablation", "paper-fairness-robustness"} == set(suite_names())
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        for variant in (suite, *(varied(suite, one) for one in suite.variants)):
            for entry in variant.methods:
                method = methods.get(entry.method)
                method.config.model_validate(entry.options)


def test_photodigits_has_every_approximate_method() -> None:
    known = {name for name, method in methods if not (method.exact or method.requires)}
    assert known <= {entry.method for entry in load_suite("photodigits").methods}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"requests": [{"name": "x", "ratios": [0.5]}]}, "requests[0]: choose exactly one of preset, groups, class, random"),
        ({"requests": [{"name": "x", "random": True, "ratios": [0.0]}]}, "requests[0].ratios: 0.0 is not a share"),
        ({"requests": [{"name": "x", "random": True, "ratios": [float("nan")]}]}, "is not a share"),
        ({"seeds": [1, 1]}, "seeds: 1 occurs twice"),
        ({"seeds": [-1]}, "seeds: seeds are whole numbers from 0"),
        ({"seeds": []}, "seeds"),
        ({"reference": 3}, "unknown key (did you mean 'references'?)"),
        ({"name": "../x"}, "name"),
        ({"requests": [{"name": "x", "random": True, "ratios": [0.5], "methods": ["fd"]}]}, "no method of that title: fd"),
    ],
)
def test_a_defect_is_named_with_file_line_and_key(change: dict[str, object], words: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump({**tiny_suite().model_dump(by_alias=True, exclude_none=True), **change}))
    with pytest.raises(InputError, match=r"suite\.yaml:\d+: ") as found:
        load_suite(str(path))
    assert words in str(found.value)


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="photodigits"):
        load_suite("photodigit")
    with pytest.raises(NotFoundError, match="waterbirds"):
        varied(load_suite("paper-lambda"), "waterbird")


def test_a_variant_that_does_not_fit_its_suite_is_refused() -> None:
    tree = tiny_suite().model_dump(by_alias=True)
    requests = [{"name": "x", "random": True, "ratios": [0.5], "methods": ["fd"]}]
    suite = Suite.model_validate({**tree, "variants": {"other": {"requests": requests}}})
    with pytest.raises(InputError, match=r"suite .*-other: .*no method of that title: fd"):
        varied(suite, "other")


def test_other_seeds_and_more_methods() -> None:
    found = adapted(tiny_suite(), "3,4", ["scrub", "ft"])
    assert found.seeds == (3, 4)
    assert [entry.name for entry in found.methods] == ["retrain", "ft", "ssd", "scrub"]
    for wrong in ("x", "1,1", "-1", ""):
        with pytest.raises(InputError):
            adapted(tiny_suite(), wrong)
