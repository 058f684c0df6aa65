from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from support import layouts

from grmu_audit.cli.commands.requests import NAMES
from grmu_audit.data.catalog import DataSpec, read_listing
from grmu_audit.data.dataset import Dataset, Header
from grmu_audit.data.forget import PRESETS, ForgetSampling, parse_class, parse_group, preset_groups
from grmu_audit.data.listing import Listing
from grmu_audit.data.readers.fairface import VALUES
from grmu_audit.errors import ForgetListError, InputError, NotFoundError
from grmu_audit.records import Group
from grmu_audit.workflows.forget_requests import sample_forget_list


def dataset(found: Dataset | Listing) -> Dataset:
    import numpy as np

    return Dataset(found.header, found.frame, np.zeros((len(found.frame), 1), dtype=np.uint8))


@pytest.fixture
def fairface(tmp_path: Path) -> Dataset:
    layouts.fairface(tmp_path)
    return dataset(read_listing(DataSpec("fairface", {"root": str(tmp_path)})))


@pytest.fixture
def celeba(tmp_path: Path) -> Dataset:
    layouts.celeba(tmp_path, size=(20, 16))
    return dataset(read_listing(DataSpec("celeba", {"root": str(tmp_path)})))


def ids(path: Path) -> list[str]:
    with path.open(newline="") as stream:
        return [row["id"] for row in csv.DictReader(stream)]


def test_command_line_and_table_have_the_same_names() -> None:
    assert tuple(PRESETS) == NAMES


@pytest.mark.parametrize(("name", "count", "pairs"), [("fairface-1", 1, 1), ("fairface-9", 9, 3), ("fairface-25", 25, 5)])
def test_fairface_groups_are_products(fairface: Dataset, name: str, count: int, pairs: int) -> None:
    groups = preset_groups(name, fairface.header)
    assert len(set(groups)) == count
    assert Group(VALUES["age"].index("20-29"), VALUES["race"].index("Black")) in groups
    assert len({g.target for g in groups}) == len({g.attribute for g in groups}) == pairs


def test_nine_groups_are_sampled_each_with_the_ratio(fairface: Dataset, tmp_path: Path) -> None:
    count = sample_forget_list(fairface, tmp_path / "ids.csv", ForgetSampling(preset="fairface-9", ratio=0.5, seed=4))
    frame = fairface.frame[fairface.frame["id"].isin(ids(tmp_path / "ids.csv"))]
    train = fairface.frame[fairface.frame["split"] == "train"]
    for (target, attribute), size in train.groupby(["target", "attribute"]).size().items():
        forget = ((frame["target"] == target) & (frame["attribute"] == attribute)).sum()
        assert forget == int(size / 2 + 0.5)
    assert count == len(frame)
    sidecar = yaml.safe_load((tmp_path / "ids.csv.meta.yaml").read_text())
    assert (sidecar["ratio"], sidecar["seed"], sidecar["count"], len(sidecar["groups"])) == (0.5, 4, count, 9)
    assert sidecar["how"].endswith("(preset fairface-9)")


def test_blond_men(celeba: Dataset, tmp_path: Path) -> None:
    sample_forget_list(celeba, tmp_path / "ids.csv", ForgetSampling(preset="celeba-blond-male", ratio=0.5))
    forget = celeba.frame[celeba.frame["id"].isin(ids(tmp_path / "ids.csv"))]
    assert len(forget) == 4
    assert set(zip(forget["split"], forget["target"], forget["attribute"], strict=True)) == {("train", 1, 1)}


def test_a_subject_goes_whole_and_is_not_named(celeba: Dataset, tmp_path: Path) -> None:
    person = celeba.frame["subject"].iloc[0]
    sample_forget_list(celeba, tmp_path / "ids.csv", ForgetSampling(subject=str(person), ratio=1.0))
    assert ids(tmp_path / "ids.csv") == ["000001.jpg", "000002.jpg"]
    assert str(person) not in (tmp_path / "ids.csv.meta.yaml").read_text()


def test_class_and_random(celeba: Dataset, tmp_path: Path) -> None:
    assert sample_forget_list(celeba, tmp_path / "a.csv", ForgetSampling(class_="blond", ratio=0.1)) == 2
    assert sample_forget_list(celeba, tmp_path / "b.csv", ForgetSampling(random=True, ratio=0.1)) == 4
    with pytest.raises(ForgetListError, match="empty class 'blond'"):
        sample_forget_list(celeba, tmp_path / "c.csv", ForgetSampling(class_="1", ratio=1.0))


@pytest.mark.parametrize(
    "sampling", [ForgetSampling(), ForgetSampling(random=True, class_="1"), ForgetSampling(preset="fairface-1", groups=("1,0",))]
)
def test_exactly_one_way_to_draw(celeba: Dataset, tmp_path: Path, sampling: ForgetSampling) -> None:
    with pytest.raises(InputError, match="exactly one"):
        sample_forget_list(celeba, tmp_path / "ids.csv", sampling)


def test_presets_of_other_data_or_columns_are_refused(celeba: Dataset) -> None:
    with pytest.raises(InputError, match="defined for waterbirds with target bird"):
        preset_groups("waterbirds-waterbird-land", celeba.header)
    with pytest.raises(InputError, match="defined for celeba with target Attractive and attribute Male"):
        preset_groups("celeba-attractive-male", celeba.header)
    with pytest.raises(NotFoundError, match="did you mean 'celeba-blond-male'"):
        preset_groups("celeba-blond-men", celeba.header)


def test_groups_and_classes_by_name() -> None:
    header = Header("x", "1", ("a", "b / c"), ("d, e", "f"))
    assert parse_group("1,0", header) == Group(1, 0)
    assert parse_group("b / c / d, e", header) == Group(1, 0)
    assert parse_group("a / f", header) == Group(0, 1)
    assert parse_class("b / c", header) == parse_class("1", header) == 1
    with pytest.raises(InputError, match="no class '²'"):
        parse_class("²", header)
    for text in ("a", "a / g", "z,f"):
        with pytest.raises(InputError):
            parse_group(text, header)


def test_a_group_as_reports_show_it_is_read_by_its_names_also_where_these_are_numbers() -> None:
    header = Header("x", "1", ("1", "2"), ("1", "2"))
    for group in (Group(0, 0), Group(0, 1), Group(1, 1)):
        assert parse_group(group.label(header.class_names, header.attribute_names), header) == group
    assert parse_group("1,1", header) == Group(1, 1)
    with pytest.raises(InputError, match="no attribute value '0'; there are: 1, 2"):
        parse_group("1 / 0", header)


def test_data_without_subjects_says_so(tmp_path: Path) -> None:
    layouts.waterbirds(tmp_path)
    data = dataset(read_listing(DataSpec("waterbirds", {"root": str(tmp_path)})))
    with pytest.raises(InputError, match="waterbirds has no subjects"):
        sample_forget_list(data, tmp_path / "ids.csv", ForgetSampling(subject="1"))
