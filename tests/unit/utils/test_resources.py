import pytest

from grmu_audit.errors import EnvironmentFailure, NotFoundError
from grmu_audit.utils import resources


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "default.yaml").write_text("a: 1")
    (tmp_path / "policies" / "strict.yml").write_text("a: 1")
    (tmp_path / "policies" / "policy.schema.json").write_text("{}")
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "package")
    return tmp_path


def test_policies_are_found_beside_the_package(checkout):
    assert resources.policy_names() == ["default", "strict"]
    assert resources.policy_file("default") == checkout / "policies" / "default.yaml"
    assert resources.policy_file("strict") == checkout / "policies" / "strict.yml"


def test_the_wheel_s_own_folder_goes_first(checkout):
    inside = checkout / "package" / "_resources" / "policies"
    inside.mkdir(parents=True)
    (inside / "default.yaml").write_text("a: 2")
    assert resources.policy_file("default") == inside / "default.yaml"


def test_an_unknown_policy_lists_the_known(checkout):
    with pytest.raises(NotFoundError, match=r"no policy 'defualt' \(did you mean 'default'\?\); known: default, strict"):
        resources.policy_file("defualt")


def test_a_policy_name_is_not_a_path(checkout):
    with pytest.raises(NotFoundError):
        resources.policy_file("../policies/default")


def test_a_broken_installation_says_so(checkout):
    with pytest.raises(EnvironmentFailure, match="installation is incomplete"):
        resources.template_dir()


def test_the_templates_of_this_installation():
    assert {"report.html.j2", "macros.html.j2", "style.css", "en.yaml"} <= {
        path.name for path in resources.template_dir().iterdir()
    }
