"""Weights from files and bundles: what fits is loaded, what does not is said with its cure."""

import numpy as np
import pytest
import small_bundle
import torch
from safetensors.torch import save_file
from small_weights import bundle_of, load, model, network_of, same

from mlops_spec import bundle
from mlops_spec.errors import StepError
from trainers._torch import backbones, loop, networks


@pytest.mark.parametrize("name", ["own.safetensors", "own.pt"])
def test_a_file_of_this_trainer_fills_the_backbone(tmp_path, name) -> None:
    _, trained = network_of(model())
    if name.endswith(".pt"):
        torch.save({f"module.{k}": v for k, v in trained.state_dict().items()}, tmp_path / name)
    else:
        save_file(trained.state_dict(), tmp_path / name)
    network = load(tmp_path / name, model())
    assert same(network.backbone, trained.backbone)
    assert not same(network.head, trained.head)


@pytest.mark.parametrize("backbone", ["resnet18", "squeezenet1_1", "timm/test_resnet"])
def test_a_file_of_the_library_s_own_model_fills_the_backbone(tmp_path, backbone) -> None:
    if backbone.startswith("timm/"):
        import timm

        original = timm.create_model(backbone.removeprefix("timm/"), num_classes=1000)
    else:
        original = library().models.get_model(backbone)
    torch.save({"state_dict": original.state_dict()}, tmp_path / "weights.pth")
    network = load(tmp_path / "weights.pth", model(backbone))
    first = next(iter(original.state_dict()))
    assert torch.equal(network.backbone.state_dict()[first], original.state_dict()[first])


def library():
    from trainers._torch.vision import torchvision

    return torchvision


def test_a_bundle_s_head_is_kept_where_asked(tmp_path) -> None:
    _, trained = network_of(model())
    network = load(bundle_of(tmp_path / "bundle", trained), model(keep=True))
    assert same(network, trained)


def test_a_bundle_brings_the_normalisation_that_its_weights_expect(tmp_path) -> None:
    dataset = small_bundle.data_set(tmp_path / "data")
    _, trained = network_of(model(), 3)
    how = small_bundle.HOW.model_copy(update={"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)})
    folder = bundle_of(tmp_path / "bundle", trained)
    bundle.write(folder, bundle.read(folder).model_copy(update={"preprocessing": how}))
    _, colour = loop._start(model(), dataset, folder)
    assert (colour.mean, colour.std) == (how.mean, how.std)
    _, grey = loop._start(model(channels=1), dataset, folder)
    assert grey.mean == pytest.approx((0.2,))
    assert grey.std == pytest.approx((0.5,))
    again = how.model_copy(update={"channels": 1, "mean": (0.1,), "std": (0.2,)})
    bundle.write(folder, bundle.read(folder).model_copy(update={"preprocessing": again}))
    _, colours = loop._start(model(), dataset, folder)
    assert (colours.mean, colours.std) == ((0.1,) * 3, (0.2,) * 3)


def test_weights_without_a_normalisation_take_that_of_the_images(tmp_path) -> None:
    dataset = small_bundle.data_set(tmp_path / "data")
    _, trained = network_of(model(), 3)
    save_file(trained.state_dict(), tmp_path / "own.safetensors")
    _, how = loop._start(model(), dataset, tmp_path / "own.safetensors")
    assert how.mean == pytest.approx((1 / 3, 1 / 3, 1 / 3))  # plain red, green and blue


@pytest.fixture
def downloads(monkeypatch):
    """Weights come from chance instead of the network; which were asked for is noted."""
    asked: list[str] = []

    def given(url, *_, **__):
        name = next(n for n in NAMES if n.partition("_v3")[0] in url)
        asked.append(name)
        more = {"init_weights": True} if name != "resnet18" else {}
        return library().models.get_model(name, **more).state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", given)
    return asked


NAMES = ("resnet18", "googlenet", "inception_v3")


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", NAMES)
def test_imagenet_weights_bring_their_normalisation(downloads, name, channels) -> None:
    spec = model(name, channels=channels, weights="imagenet", input_size=96, resize=96)
    backbone, network = network_of(spec)
    assert downloads == [name]
    mean = (0.5,) if name != "resnet18" else (0.485, 0.456, 0.406)
    expected = mean * 3 if len(mean) == 1 else mean
    found = backbone.normalisation.mean
    assert found == pytest.approx(expected if channels == 3 else (sum(expected) / 3,))
    assert network.train()(torch.rand(2, channels, 96, 96)).shape == (2, 2)


def test_timm_s_weights_are_asked_for_and_bring_their_normalisation(monkeypatch) -> None:
    import timm

    make, asked = timm.create_model, []

    def given(name, pretrained, **more):
        asked.append(pretrained)
        return make(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", given)
    backbone = backbones.build(model("timm/test_resnet", weights="imagenet"))
    assert asked == [True]
    assert backbone.normalisation.mean == backbone.module.pretrained_cfg["mean"]
    assert backbones.build(model("timm/test_resnet", weights="none")).normalisation is None


@pytest.mark.parametrize(("given", "wanted"), [(3, 1), (1, 3)])
def test_grey_and_colour_are_made_to_fit(tmp_path, given, wanted) -> None:
    """A grey picture is answered alike by both, since its channels are equal."""
    _, trained = network_of(model(channels=given))
    save_file(trained.state_dict(), tmp_path / "own.safetensors")
    network = load(tmp_path / "own.safetensors", model(channels=wanted))
    grey = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        before = trained.backbone.eval()(grey.expand(-1, given, -1, -1))
        after = network.backbone.eval()(grey.expand(-1, wanted, -1, -1))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_another_architecture_is_refused(tmp_path) -> None:
    _, trained = network_of(model())
    save_file(trained.state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(StepError, match=r"another architecture than resnet18: it lacks bn1.bias"):
        load(tmp_path / "own.safetensors", model("resnet18"))


def test_the_same_names_in_other_shapes_are_refused(tmp_path) -> None:
    _, trained = network_of(model("resnet18"))
    save_file(trained.state_dict(), tmp_path / "own.safetensors")
    with pytest.raises(StepError, match=r"resnet34: it lacks layer1.2.bn1.bias"):
        load(tmp_path / "own.safetensors", model("resnet34"))
    state = trained.state_dict()
    state["backbone.bn1.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "own.safetensors")
    with pytest.raises(StepError, match=r"bn1\.bias is 3 there and 64 here"):
        load(tmp_path / "own.safetensors", model("resnet18"))


def test_pictures_too_small_for_a_backbone_are_said() -> None:
    spec = model("inception_v3", input_size=32)
    with pytest.raises(StepError, match="inception_v3 does not take pictures of 32 x 32"):
        network_of(spec)


def test_misspelt_timm_backbone_is_said_with_a_suggestion() -> None:
    with pytest.raises(StepError, match=r"timm has no 'resnt18'; did you mean resnet18\?"):
        backbones.build(model("timm/resnt18"))


def test_an_unknown_tag_of_timm_is_said() -> None:
    with pytest.raises(StepError, match="Invalid pretrained tag"):
        backbones.build(model("timm/resnet18.nope", weights="imagenet"))


def test_timm_that_is_not_installed_is_said_with_the_cure(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StepError, match=r"pip install 'mlops_spec\[timm\]'"):
        backbones.build(model("timm/resnet18"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side", "channels"),
    [
        *[(name, 64, 1) for name in ("alexnet", "densenet121", "efficientnet_b0", "googlenet")],
        *[(name, 64, 3) for name in ("mnasnet0_5", "mobilenet_v2", "regnet_y_400mf", "swin_t")],
        *[(name, 64, 1) for name in ("resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0")],
        *[("inception_v3", 96, 3), ("vit_b_16", 224, 1), ("maxvit_t", 224, 3)],
        *[("convnext_tiny", 64, 1), ("vgg11_bn", 64, 3), ("timm/test_vit", 160, 1)],
        *[("timm/test_efficientnet", 160, 3), ("timm/resnet10t", 64, 1)],
    ],
)
def test_every_family_of_backbones_learns(backbone, side, channels) -> None:
    spec = model(backbone, channels=channels, weights="none", resize=side, input_size=side)
    _, network = network_of(spec)
    network.train()
    logits = network(torch.rand(2, channels, side, side))
    assert logits.shape == (2, 2)
    logits.sum().backward()
    assert networks.children(network.backbone)
