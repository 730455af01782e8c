"""Weights of torchvision and timm: features agree with an independent evaluation in their names, and with the libraries."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lightman_jax.networks.backbones import ResNet18
from lightman_jax.networks.dual_branch import NetworkConfig, make_backbone
from lightman_jax.networks.pretrained import backbone_of_tensors, network_of_tensors
from tests.torch_files import resnet18_tensors, vgg_tensors

BACKBONE = {"resnet18": "resnet18", "vgg16": "vgg16", "vgg16_bn": "vgg16", "vgg19": "vgg19"}


def tensors_of(name, width=4, seed=0):
    if name == "resnet18":
        return resnet18_tensors(width, seed)
    return vgg_tensors(19 if "19" in name else 16, width, with_norm=name.endswith("_bn"), seed=seed)


def conv(tensors, name, x, stride=1):
    kernel = tensors[f"{name}.weight"]
    border = kernel.shape[-1] // 2
    y = lax.conv_general_dilated(x, kernel, (stride, stride), [(border, border)] * 2)
    return y + tensors[f"{name}.bias"][None, :, None, None] if f"{name}.bias" in tensors else y


def norm(tensors, name, x):
    weight, bias, mean, variance = (
        tensors[f"{name}.{part}"][None, :, None, None] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / jnp.sqrt(variance + 1e-5) * weight + bias


def pool(x, size, stride, border):
    window, strides = (1, 1, size, size), (1, 1, stride, stride)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, window, strides, [(0, 0), (0, 0), (border, border), (border, border)]
    )


def resnet18_maps(tensors, x):
    """Last maps of a ResNet18 in evaluation mode, images `[n, 3, H, W]`."""
    x = pool(jax.nn.relu(norm(tensors, "bn1", conv(tensors, "conv1", x, 2))), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            place, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = jax.nn.relu(norm(tensors, f"{place}.bn1", conv(tensors, f"{place}.conv1", x, stride)))
            y = norm(tensors, f"{place}.bn2", conv(tensors, f"{place}.conv2", y))
            if stride == 2:
                x = norm(tensors, f"{place}.downsample.1", conv(tensors, f"{place}.downsample.0", x, 2))
            x = jax.nn.relu(x + y)
    return x


def vgg_maps(tensors, x, numbers):
    """Last maps of a VGG in evaluation mode; `numbers` are those of the pools."""
    for number in range(max(numbers) + 1):
        if number in numbers:
            x = pool(x, 2, 2, 0)
        elif f"features.{number}.running_mean" in tensors:
            x = norm(tensors, f"features.{number}", x)
        elif f"features.{number}.weight" in tensors:
            x = conv(tensors, f"features.{number}", x)
        else:
            x = jax.nn.relu(x)
    return x


# From the printed modules of torchvision.
POOLS = {"vgg16": (4, 9, 16, 23, 30), "vgg16_bn": (6, 13, 23, 33, 43), "vgg19": (4, 9, 18, 27, 36)}


def features_of(tensors, images, **settings):
    """Flattened features `[n, C, h, w]` of images `[n, 3, H, W]` by the backbone."""
    network = network_of_tensors(tensors, NetworkConfig(head="flatten", **settings))
    params = backbone_of_tensors(tensors, network, images.shape[1])
    _, maps = jax.jit(make_backbone(network).apply)({"params": params}, images.transpose(0, 2, 3, 1))
    return np.asarray(maps).transpose(0, 3, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONE)
def test_features_agree_with_an_evaluation_in_the_names_of_the_file(name):
    tensors = tensors_of(name)
    images = np.random.default_rng(1).normal(size=(2, 3, 37, 64)).astype(np.float32)
    evaluate = resnet18_maps if name == "resnet18" else lambda t, x: vgg_maps(t, x, POOLS[name])
    expected = jax.jit(evaluate)({key: value for key, value in tensors.items() if value.ndim}, images)
    found = features_of(tensors, images, backbone=BACKBONE[name], width=4)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_grey_images_are_read_as_grey_in_colour():
    tensors = tensors_of("resnet18")
    grey = np.random.default_rng(1).normal(size=(1, 1, 32, 32)).astype(np.float32)
    found = features_of(tensors, grey, backbone="resnet18", width=4)
    expected = features_of(tensors, np.repeat(grey, 3, axis=1), backbone="resnet18", width=4)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_batch_normalisation_keeps_the_scale_and_shift_of_the_file():
    tensors = tensors_of("resnet18")
    network = network_of_tensors(tensors, NetworkConfig(backbone="resnet18", width=4, normalisation="batch"))
    params = backbone_of_tensors(tensors, network, 3)
    np.testing.assert_array_equal(params["norm_scale_2_1_shortcut"], tensors["layer2.0.downsample.1.weight"])
    np.testing.assert_array_equal(params["norm_bias_stem"], tensors["bn1.bias"])


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def replaced(name, shape):
    return lambda tensors: tensors | {name: np.zeros(shape, np.float32)}


@pytest.mark.parametrize(
    ("change", "settings", "text"),
    [
        (
            dict,
            {"width": 8},
            r"conv1.weight has the shape \[4, 3, 7, 7\], the network needs \[8, 3, 7, 7\]; add --width=4",
        ),
        (dict, {"stem": "small"}, r"\[4, 3, 7, 7\], the network needs \[4, 3, 3, 3\]; add --stem=imagenet"),
        (dict, {"backbone": "conv4"}, "of resnet18, the backbone is conv4; add --backbone=resnet18 --width=4"),
        (dict, {"normalisation": "layer"}, "add --normalisation=affine or batch"),
        (without("layer3.1.bn2.bias"), {}, "it lacks layer3.1.bn2.bias; readable are resnet18"),
        (replaced("layer1.0.se.weight", (2,)), {}, "it has unexpected layer1.0.se.weight"),
        (replaced("layer1.2.conv1.weight", (4, 4, 3, 3)), {}, "of no known network; readable are resnet18, vgg16"),
        (replaced("layer2.0.conv1.weight", (4, 4, 3, 3)), {}, r"layer2.0.conv1.weight has the shape \[4, 4, 3, 3\]"),
        (replaced("bn1.running_var", (5,)), {}, r"bn1.running_var has the shape \[5\], the network needs \[4\]"),
    ],
)
def test_a_mismatch_names_the_tensor_both_shapes_and_the_flag(change, settings, text):
    tensors = change(tensors_of("resnet18"))
    config = NetworkConfig(**{"backbone": "resnet18", "width": 4} | settings)
    with pytest.raises(ValueError, match=text):
        backbone_of_tensors(tensors, network_of_tensors(tensors, config), 3)


def test_images_of_other_channels_are_refused():
    tensors = tensors_of("resnet18")
    network = network_of_tensors(tensors, NetworkConfig(backbone="resnet18", width=4))
    with pytest.raises(ValueError, match=r"the network needs \[4, 6, 7, 7\]; give images of 3 channels or 1"):
        backbone_of_tensors(tensors, network, 6)


def randomised(model):
    """The model in evaluation mode with random weights and running moments."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if "running_var" in name:
                values.uniform_(0.5, 2, generator=generator)
            elif values.ndim == 4:
                values.normal_(0, (2 / values[0].numel()) ** 0.5, generator=generator)
            elif values.is_floating_point():
                values.add_(0.2 * torch.randn(values.shape, generator=generator))
    return model.eval()


def library(name):
    """torchvision or timm; a torchvision of another build than torch lacks operators that these networks do not need."""
    torch = pytest.importorskip("torch")
    with contextlib.suppress(ImportError, RuntimeError):
        return __import__(name)
    with contextlib.suppress(RuntimeError):
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", "(Tensor a, Tensor b, float c) -> Tensor")
    return pytest.importorskip(name)


@pytest.mark.slow
@pytest.mark.parametrize(("package", "side"), [("torchvision", 112), ("timm", 224)])
def test_logits_of_resnet18_agree_with_torchvision_and_timm(package, side):
    torch, module = pytest.importorskip("torch"), library(package)
    torch.set_num_threads(1)
    make = module.create_model if package == "timm" else module.models.get_model
    model = randomised(make("resnet18"))
    tensors = {key: value.numpy() for key, value in model.state_dict().items()}
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    found = torch.from_numpy(features_of(tensors, images.numpy(), backbone="resnet18", width=64).copy())
    with torch.no_grad():
        expected, logits = model(images), model.fc(found.mean((2, 3)))
    assert float((logits - expected).abs().max()) < 1e-5 * float(expected.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("batch_norm", [False, True])
def test_features_of_vgg16_agree_with_torchvision(batch_norm):
    torch, vgg = pytest.importorskip("torch"), library("torchvision").models.vgg
    torch.set_num_threads(1)
    # Without the classifier, which takes seconds to draw.
    model = randomised(vgg.make_layers(vgg.cfgs["D"], batch_norm=batch_norm))
    tensors = {f"features.{key}": value.numpy() for key, value in model.state_dict().items()}
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(images).numpy()
    found = features_of(tensors, images.numpy(), backbone="vgg16", width=64)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["affine", "batch"])
def test_second_order_gradients_of_the_stem_do_not_depend_on_the_form(normalisation, x64, monkeypatch):
    monkeypatch.setattr(ResNet18, "stages", 1)
    config = NetworkConfig(backbone="resnet18", width=4, stem="imagenet", normalisation=normalisation)
    images = jax.random.normal(jax.random.key(0), (3, 17, 20, 3), jnp.float64)
    params = make_backbone(config).init(jax.random.key(1), images)["params"]
    params = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(2), x.shape, x.dtype), params)

    def curvature(form):
        apply = make_backbone(dataclasses.replace(config, conv_form=form)).apply
        loss = lambda p: jnp.square(apply({"params": p}, images)[0]).sum()  # noqa: E731
        stepped = lambda p: loss(jax.tree.map(lambda x, g: x - 0.01 * g, p, jax.grad(loss)(p)))  # noqa: E731
        return jax.jit(jax.grad(stepped))(params)

    for own, plain in zip(jax.tree.leaves(curvature("closed")), jax.tree.leaves(curvature("plain")), strict=True):
        np.testing.assert_allclose(own, plain, rtol=1e-9, atol=1e-10 * np.abs(plain).max())
