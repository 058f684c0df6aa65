"""Every family of architectures: features, head, stages, storage; and the guards around torchvision's and the user's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
import torch
from support.data_kinds import BERT, inputs, spec
from support.weights import weights_digest
from torch import nn

from grmu_audit.cli.app import root
from grmu_audit.errors import InputError, NotFoundError
from grmu_audit.models.architecture import VARIABLE, Options
from grmu_audit.models.bert import BertOptions
from grmu_audit.models.catalog import architectures, build, reinitialised
from grmu_audit.models.classifier import Classifier, ModelSpec
from grmu_audit.models.guaranteed import LinearOptions, ShardOptions
from grmu_audit.models.small_networks import MlpOptions, SmallResnetOptions, SmallVitOptions
from grmu_audit.models.torchvision_models import SlicedConv2d, TorchvisionOptions
from grmu_audit.models.weights import GRAPH, SPEC, described_bytes, load_model, save_model
from grmu_audit.unlearning.layers import last_stages, stages
from grmu_audit.workflows.catalogs import field_docs

HALF = (0.5, 0.5, 0.5)

TEXT = ModelSpec("bert", 3, (12,), (), (), ("a", "b", "c"), BERT)

FAMILIES = ["small_resnet", "resnet18", "small_vit", "mlp", "bert"]


def image_spec(name: str, size: tuple[int, ...] = (3, 32, 32), **options: object) -> ModelSpec:
    return ModelSpec(name, 2, size, HALF[: size[0]], HALF[: size[0]], ("a", "b"), options)


def made(name: str, seed: int = 0) -> Classifier:
    return build(TEXT if name == "bert" else spec(name), seed).eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_the_head_of_the_features(name: str) -> None:
    model = made(name)
    x = inputs(model)
    z = model.features(x)
    assert z.shape == (3, model.head.in_features)
    assert torch.equal(model(x), model.head(z))
    assert model(x).shape == (3, model.spec.classes)
    alone = torch.cat([model(x[i : i + 1]) for i in range(3)])
    assert torch.allclose(model(x), alone, atol=1e-4), "in eval mode samples do not depend on each other"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_version_comes_back_with_the_same_digest_and_logits(name: str, tmp_path: Path) -> None:
    model = made(name, 3)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    x = inputs(model, 5)
    assert weights_digest(again) == weights_digest(model)
    assert torch.equal(again(x), model(x))
    assert "start" not in json.loads((tmp_path / SPEC).read_text())
    graph = torch.export.load(tmp_path / GRAPH).module()
    assert torch.allclose(graph(x), model(x), atol=1e-4)


STAGES = {
    "small_resnet": (4, "body.0"),
    "resnet18": (10, "body.conv1"),
    "small_vit": (4, "body.patches"),
    "mlp": (3, "body.1"),
    "bert": (5, "body.bert.embeddings"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_run_from_the_input_to_the_head_and_hold_every_block_once(name: str) -> None:
    model = made(name)
    found = stages(model)
    count, first = STAGES[name]
    assert (len(found), found[0].name, found[-1].name) == (count, first, "head")
    held = [id(p) for stage in found for module in stage.modules for p in module.parameters()]
    assert len(held) == len(set(held))
    assert [s.name for s in last_stages(model, 2)] == [s.name for s in found[-2:]]


@pytest.mark.parametrize("name", FAMILIES)
def test_fresh_weights_follow_the_seed(name: str) -> None:
    model = made(name)
    assert weights_digest(reinitialised(model, 0)) == weights_digest(model) != weights_digest(reinitialised(model, 1))


def test_vision_transformers_open_into_blocks() -> None:
    model = build(image_spec("vit_b_32", (3, 64, 64)), 0)
    names = [stage.name for stage in stages(model)]
    assert len(names) == 14
    assert names[1] == "body.encoder.layers.encoder_layer_0"
    assert model.eval()(torch.rand(2, 3, 64, 64)).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet_b0", (3, 64, 64)), ("mobilenet_v3_small", (1, 64, 64)), ("shufflenet_v2_x0_5", (3, 64, 64))]
)
def test_other_classifiers_of_torchvision(name: str, size: tuple[int, ...]) -> None:
    model = build(image_spec(name, size), 0).eval()
    assert model(torch.rand(2, *size)).shape == (2, 2)
    assert model.head.in_features == model.features(torch.rand(1, *size)).shape[1]


@pytest.mark.parametrize(("name", "width"), [("googlenet", 1024), ("maxvit_t", 512)])
def test_classifiers_of_torchvision_that_take_arguments_of_their_own(name: str, width: int) -> None:
    with torch.device("meta"):  # shapes alone
        model = build(image_spec(name, (3, 224, 224)), 0).train()
        assert model.head.in_features == width
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 2), "no auxiliary outputs"


def test_a_regnet_is_measured_without_memory_too() -> None:
    regnet = image_spec("regnet_y_400mf", (3, 64, 64))
    state = build(regnet, 0).state_dict().values()
    assert described_bytes(regnet) == sum(value.numel() * value.element_size() for value in state)
    with torch.device("meta"):
        measured = build(regnet, 0).state_dict().values()
    assert all(value.is_meta for value in measured)


def test_the_small_stem_keeps_every_pixel() -> None:
    body = build(image_spec("resnet18", stem="cifar"), 0).body
    assert body.conv1.stride == (1, 1)  # type: ignore[union-attr]
    assert isinstance(body.maxpool, nn.Identity)
    assert build(image_spec("resnet18"), 0).body.conv1.stride == (2, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize("side", [7, 8])
def test_strided_point_convolutions_are_sliced_with_the_same_numbers(side: int) -> None:
    from torchvision.models import resnet18

    body = build(image_spec("resnet18"), 0).body
    own = {name: m for name, m in body.named_modules() if isinstance(m, SlicedConv2d)}
    plain = resnet18().state_dict()
    assert sorted(own) == ["layer2.0.downsample.0", "layer3.0.downsample.0", "layer4.0.downsample.0"]
    assert {k for k in plain if not k.startswith("fc.")} == set(body.state_dict())
    layer = own["layer2.0.downsample.0"]
    x = torch.rand(3, 64, side, side)
    assert torch.allclose(layer(x), nn.functional.conv2d(x, layer.weight, stride=2), atol=1e-5)


SCRIPT = """
import torch
from torch import nn
from grmu_audit.models.torchvision_models import safe_shortcuts
for widths in ((6, 12), (24, 48), (64, 128)):
    body = nn.Sequential(nn.Conv2d(3, widths[0], 3, 2, 1), nn.Conv2d(*widths, 1, 2, bias=False), nn.BatchNorm2d(widths[1]))
    safe_shortcuts(body)
    assert type(body[1]) is not nn.Conv2d
    for n in (3, 5, 13) * 10:
        body(torch.randn(n, 3, 32, 32)).square().sum().backward()
"""


def test_guarded_shortcuts_survive_odd_batches() -> None:
    """In a process of its own, since what is guarded against is memory corruption."""
    assert subprocess.run([sys.executable, "-c", SCRIPT], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            image_spec("resnet18", stem="tiny"),
            "resnet18: stem: Input should be 'imagenet' or 'cifar' \\(found 'tiny'\\); known: stem",
        ),
        (image_spec("resnet18", depth=3), "resnet18: unknown option\\(s\\) depth; known: stem"),
        (image_spec("efficientnet_b0", stem="cifar"), "stem=cifar is for ResNets, not for efficientnet_b0"),
        (image_spec("squeezenet1_0"), "squeezenet1_0 ends in Conv2d, not in a linear layer"),
        (image_spec("vit_b_32", (3, 64, 32)), "vit_b_32 needs square images, these are 64 x 32"),
        (image_spec("vit_b_32", (3, 50, 50)), "vit_b_32 cannot be built for inputs of 3 x 50 x 50"),
        (image_spec("small_vit", patch=5), "patch is 5, which does not divide images of 32 x 32"),
        (image_spec("small_resnet", widths="8,16"), r"valid tuple, written as \[24, 48, 96\] \(found '8,16'\)"),
        (image_spec("small_resnet", widths=[]), "small_resnet: widths: Tuple should have at least 1 item"),
        (ModelSpec("resnet18", 2, (7,), (0.0,) * 7, (1.0,) * 7), "resnet18 is for images, .* shape \\[7\\]: take mlp for tables"),
        (image_spec("bert"), "bert is for texts"),
        (ModelSpec("bert", 2, (99,), (), (), (), BERT), "up to 99 tokens, but positions is 16"),
        (ModelSpec("bert", 2, (9,), (), (), (), {**BERT, "heads": 3}), "heads is 3, which does not divide hidden = 16"),
        (ModelSpec("bert", 2, (9,), (), (), (), {**BERT, "pad": 99_999}), "pad is 99999, but the vocabulary has"),
    ],
)
def test_what_does_not_fit_is_named(wrong: ModelSpec, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(wrong, 0)


def test_unknown_names_are_compared_with_torchvision_too() -> None:
    with pytest.raises(NotFoundError, match="no architecture 'resnet81' \\(did you mean 'resnet18'\\?\\)"):
        build(image_spec("resnet81"), 0)


MODULE = """
from pathlib import Path
from torch import nn
Path("imported").touch()
def pair(spec):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5), nn.ReLU()), 5
def network(spec):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 7), nn.ReLU(), nn.Linear(7, 99))
def nothing(spec):
    return "nothing"
def broken(spec):
    raise TypeError("this network wants another shape")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(("function", "width"), [("pair", 5), ("network", 7)])
def test_an_allowed_function_makes_the_body(own: str, function: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"other.module:make, {own}:{function}")
    model = build(image_spec(f"{own}:{function}"), 0)
    assert model.head.in_features == width
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 2)


@pytest.mark.parametrize("listed", [None, "", "{own}:network", "{own}", "{own}:"])
def test_what_is_not_on_the_list_is_never_imported(own: str, listed: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if listed is not None:
        monkeypatch.setenv(VARIABLE, listed.format(own=own))
    with pytest.raises(
        InputError, match=f"runs code that is not allowed here: the operator allows it with {VARIABLE}={own}:pair"
    ):
        build(image_spec(f"{own}:pair"), 0)
    assert not Path("imported").exists()


def test_a_whole_module_can_be_allowed_and_faults_are_named(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{own}:*,absent_package.module:make")
    assert build(image_spec(f"{own}:pair"), 0).head.in_features == 5
    for name, message in (
        (f"{own}:absent", "cannot be loaded: .*absent"),
        (f"{own}:broken", "fails: TypeError: this network wants another shape"),
        (f"{own}:nothing", "returned str: it must return a network"),
        ("absent_package.module:make", "cannot be loaded: ModuleNotFoundError: No module named 'absent_package'"),
    ):
        with pytest.raises(InputError, match=message):
            build(image_spec(name), 0)


def test_a_stored_version_of_a_forbidden_architecture_is_not_loaded(
    own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{own}:pair")
    save_model(build(image_spec(f"{own}:pair"), 0).eval(), tmp_path / "version")
    assert load_model(tmp_path / "version").spec.architecture == f"{own}:pair"
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(InputError, match="not allowed here"):
        load_model(tmp_path / "version")


PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text()

KINDS: dict[str, type[Options]] = {
    "`small_resnet`": SmallResnetOptions,
    "torchvision's": TorchvisionOptions,
    "`small_vit`": SmallVitOptions,
    "`mlp`": MlpOptions,
    "`linear`": LinearOptions,
    "`sisa`": ShardOptions,
    "`bert`": BertOptions,
}


def rows() -> list[str]:
    found = []
    for name, kind in KINDS.items():
        meanings = field_docs(kind)
        for option, field in kind.model_fields.items():
            meaning = meanings[option].replace("``", "`")
            found.append(f"| {name} | `{option}` | `{field.get_default(call_default_factory=True)}` | {meaning} |")
    return found


def test_the_table_of_options_is_the_code() -> None:
    table = PAGE.partition("## Options")[2].partition("`vocabulary`, `pad`")[0]
    assert [line for line in table.splitlines() if line.startswith("|")][2:] == rows()


def test_every_registered_architecture_is_described() -> None:
    assert all(f"| `{name}` |" in PAGE for name in architectures.names())


@pytest.mark.parametrize("line", re.findall(r"^(?:\w+=\S+ )?grmu-audit (.*?)(?<!\\)$", PAGE, re.M | re.S))
def test_commands_of_the_page_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = line.replace("\\\n", " ").split()
    command = root.get_command(click.Context(root), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def test_a_network_whose_start_weights_are_missing_is_not_trained_again() -> None:
    started = image_spec("small_resnet", widths=[4, 6])
    model = build(replace(started, start="ab" * 32), 0)
    with pytest.raises(InputError, match=r"this small_resnet started from weights of SHA-256 (ab){32}, which are missing"):
        reinitialised(model, 1)
