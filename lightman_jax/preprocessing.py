"""Scaling, mirroring and magnification of clip images `[n, (frames,) H, W, C]`.

With views, images are `[n, V, H, W, C]`, and a view that a clip lacks is nan in all pixels and remains nan.
The channels are optical flow (u to the right, v down, strain), one grey image, or the three of a colour image; of images, also sums
or differences. By default (`auto`) three channels are flow.
Statistics are computed per clip or over the training clips of the fold, so test subjects never affect them.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from lightman_jax.checks import as_floats, as_images, as_mask, check_number, is_traced, transferring

Scaling = Literal["clip_rms", "fold_rms", "clip_minmax", "imagenet"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)

Channels = Literal["auto", "flow", "grey", "rgb"]
"""What the channels of an image are; `auto`: three are flow, one is grey."""

_COUNTS = {"flow": 3, "grey": 1, "rgb": 3}
_EPSILON = 1e-6
# Mean and standard deviation of the training images of ImageNet, red, green and blue, of 0..255, as weights of torchvision expect.
_IMAGENET = 255 * np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])


@transferring
def scale_flow(
    images: jax.Array,
    *,
    scaling: Scaling = "clip_rms",
    train: jax.Array | None = None,
    mean_square: jax.Array | None = None,
    views: bool = False,
    channels: Channels = "auto",
) -> jax.Array:
    """Subtract the median of each clip and divide each channel by its root mean square (RMS).

    - `clip_rms`: RMS over the pixels of the clip. The amplitude is lost; clips do not depend on each other.
    - `fold_rms`: RMS over all pixels of the training clips. The amplitude is kept.
    - `clip_minmax`: maps the minimum and maximum of the clip to -1 and 1 (the public flow release maps them to 0 and 255).
    - `imagenet`: colour images 0..255 minus the mean of ImageNet's, divided by their standard deviation, as pretrained weights
      expect.

    The median is that of the clip, which removes head motion and the offset of unsigned 8-bit flow. Strain has no sign and is not
    centred. A constant channel becomes zero, except with `imagenet`.

    Args:
      images: `[n, (frames,) H, W, C]`; flow in any linear unit (pixels, or 0..255), grey or colour images.
      scaling: `clip_rms`, `fold_rms`, `clip_minmax` or `imagenet`.
      train: `[n]` bool, marks the training clips; `fold_rms` needs this or `mean_square`.
      mean_square: `[1, (1,) 1, 1, C]` from `training_mean_square`, for images that do not contain the training clips.
      views: whether the second axis holds views, each of which is scaled by its own statistics, instead of frames.
      channels: what the channels are.

    Returns:
      Array of the shape of `images`, in units of the RMS or standard deviation, or in -1..1.

    Raises:
      ValueError: unknown scaling, `fold_rms` without `train` and `mean_square`, `imagenet` of other images than colour ones, images
        of another rank or number of channels, or a mask that does not fit.

    Choice: with an RBF support-vector machine on the public flow of 309 SMIC and CASME II clips, `clip_rms` gave a pooled UF1
    of .785, a global RMS .778, the unscaled 0..255 values .765.

    >>> scale_flow(jnp.array([1.0, 2.0, 3.0, 2.0]).reshape(1, 2, 2, 1), scaling="clip_minmax").ravel().tolist()
    [-1.0, 0.0, 1.0, 0.0]
    """
    images = as_images(as_floats(images, "images"))
    offset, divisor = scale_parameters(
        images, scaling=scaling, train=train, mean_square=mean_square, views=views, channels=channels
    )
    return (images - offset) / divisor


@transferring
def scale_parameters(
    images: jax.Array,
    *,
    scaling: Scaling = "clip_rms",
    train: jax.Array | None = None,
    mean_square: jax.Array | None = None,
    views: bool = False,
    channels: Channels = "auto",
) -> tuple[jax.Array, jax.Array]:
    """The offset and the divisor of every clip and channel by which `scale_flow` scales, `(x - offset) / divisor`.

    Args:
      images: `[n, (frames,) H, W, C]` as of `scale_flow`, and so are the other arguments and errors.
      scaling, train, mean_square, views, channels: as of `scale_flow`.

    Returns:
      `[n, (1,) 1, 1, C]` each, `[n, V, 1, 1, C]` with views; of a constant channel, `clip_minmax` has an infinite divisor.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling {scaling!r} is unknown; choose one of {', '.join(SCALINGS)}")
    images = as_images(as_floats(images, "images"))
    channels = channels_of(images, channels)
    within = _within(images, views)
    if scaling == "imagenet":
        if channels != "rgb":
            raise ValueError(
                f"scaling imagenet is for colour images, these are {channels}; choose --colour=rgb, or --scaling=clip_rms"
            )
        shape = (*(1 if axis in within else size for axis, size in enumerate(images.shape[:-1])), images.shape[-1])
        offset, divisor = (jnp.broadcast_to(jnp.asarray(row, images.dtype), shape) for row in _IMAGENET)
        return offset, divisor
    if scaling == "clip_minmax":
        low, high = images.min(axis=within, keepdims=True), images.max(axis=within, keepdims=True)
        span = high - low
        return low + span / 2, jnp.where(span > _EPSILON, span / 2, jnp.inf)
    offset = _offset(images, within, channels)
    if scaling == "clip_rms":
        mean_square = jnp.mean(jnp.square(images - offset), axis=within, keepdims=True)
    elif mean_square is None:
        if train is None:
            raise ValueError("scaling 'fold_rms' needs train= (mask of the training clips) or mean_square=")
        mean_square = training_mean_square(images, train, views=views, channels=channels)
    else:
        mean_square = as_floats(mean_square, "mean_square")
        check_number("mean_square", mean_square, least=0)
    divisor = jnp.maximum(jnp.sqrt(mean_square), _EPSILON)
    return offset, jnp.broadcast_to(divisor, offset.shape)


def channels_of(images: jax.Array, channels: Channels = "auto") -> Channels:
    """What the channels of images are: `channels`, or the choice of `auto` by their number.

    Raises:
      ValueError: unknown channels, or another number of them; or `auto` of bytes in three channels, which may be either.

    >>> channels_of(jnp.zeros((2, 8, 8, 1)))
    'grey'
    """
    if channels == "auto":
        if images.dtype == np.uint8 and images.shape[-1] == _COUNTS["flow"]:
            raise ValueError(
                "three channels of bytes are flow or colours; name them by channels='flow' or channels='rgb', for a training in "
                "TrainConfig"
            )
        return "flow" if images.shape[-1] == _COUNTS["flow"] else "grey"
    if channels not in _COUNTS:
        raise ValueError(f"channels {channels!r} are unknown; choose one of {', '.join(get_args(Channels))}")
    if images.shape[-1] != _COUNTS[channels]:
        raise ValueError(
            f"{channels} images have {_COUNTS[channels]} channels, these have {images.shape[-1]} (shape {images.shape})"
        )
    return channels


@transferring
def training_mean_square(
    images: jax.Array, train: jax.Array, *, views: bool = False, channels: Channels = "auto"
) -> jax.Array:
    """Mean square of each channel over the training clips, centred as in `scale_flow`; `fold_rms` divides by its root.

    Args:
      images: `[n, (frames,) H, W, C]`.
      train: `[n]` bool.
      views: as in `scale_flow`; a view that a training clip lacks is left out.
      channels: what the channels are.

    Returns:
      `[1, (1,) 1, 1, C]`, `[1, V, 1, 1, C]` with views; 1 for a view that no training clip has.

    Raises:
      ValueError: images of another rank, a mask that does not fit, or one without a training clip.
    """
    images = as_images(as_floats(images, "images"))
    train = as_mask(train, images.shape[0], name="train")
    if train is None:
        raise ValueError("train is None; give a mask [n] of the training clips")
    if not is_traced(train) and not np.asarray(train).any():
        raise ValueError("train marks no clip; the mean square needs at least one training clip")
    train = jnp.asarray(train)
    within = _within(images, views)
    centred = images - _offset(images, within, channels_of(images, channels))
    mean_square = jnp.mean(jnp.square(centred), axis=within, keepdims=True)
    weight = train.astype(images.dtype).reshape(-1, *[1] * (images.ndim - 1))
    if views:
        weight = weight * (~jnp.isnan(mean_square)).astype(images.dtype)
        count = weight.sum(axis=0, keepdims=True)
        total = jnp.sum(jnp.where(weight > 0, mean_square, 0), axis=0, keepdims=True)
        return jnp.where(count > 0, total / jnp.maximum(count, 1), 1)
    # jnp.where, because a non-finite test clip would enter a product as nan * 0.
    return jnp.sum(jnp.where(weight > 0, mean_square, 0), axis=0, keepdims=True) / jnp.maximum(weight.sum(), 1)


def _within(images: jax.Array, views: bool) -> tuple[int, ...]:
    """Axes of the pixels that have common statistics."""
    if views and images.ndim != 5:
        raise ValueError(f"images have the shape {images.shape}; give [n, V, H, W, C] with views")
    return tuple(range(2 if views else 1, images.ndim - 1))


def _offset(images: jax.Array, within: tuple[int, ...], channels: Channels) -> jax.Array:
    """The median of each clip and channel; 0 for strain."""
    signed = images[..., :2] if channels == "flow" else images
    median = jnp.median(signed, axis=within, keepdims=True)
    unsigned = (*median.shape[:-1], images.shape[-1] - signed.shape[-1])
    return jnp.concatenate([median, jnp.zeros(unsigned, images.dtype)], axis=-1)


@transferring
def mirror_flow(images: jax.Array, *, channels: Channels = "auto") -> jax.Array:
    """Flip images left to right; for flow also negate u, because motion to the right becomes motion to the left.

    Args:
      images: `[..., H, W, C]`; signed flow, grey or colour images.
      channels: what the channels are.

    Returns:
      Array of the same shape.

    Raises:
      ValueError: other than one or three channels, or flow of unsigned integers.

    >>> x = jnp.arange(6.0).reshape(1, 2, 3)
    >>> mirror_flow(x)[0, 0].tolist(), mirror_flow(x, channels="rgb")[0, 0].tolist()
    ([-3.0, 4.0, 5.0], [3.0, 4.0, 5.0])
    """
    images = jnp.asarray(images)
    if images.ndim < 3 or images.shape[-1] not in _COUNTS.values():
        raise ValueError(
            f"images have the shape {images.shape}; give [..., H, W, 3] flow (u, v, strain) or colour images, or [..., H, W, 1] "
            "grey images"
        )
    may_be_flow = channels in ("auto", "flow") and images.shape[-1] == _COUNTS["flow"]
    if may_be_flow and jnp.issubdtype(images.dtype, np.unsignedinteger):
        raise ValueError(
            f"flow of the dtype {images.dtype} has no sign; mirror what scale_flow returns, or colours with channels='rgb'"
        )
    is_flow = channels_of(images, channels) == "flow"
    mirrored = images[..., ::-1, :]
    return mirrored.at[..., 0].multiply(-1) if is_flow else mirrored


def mirror_average(
    fn: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    partners: tuple[int, ...] | None = (),
    *,
    channels: Channels = "auto",
) -> jax.Array:
    """Average a function over images and their mirror images, `(fn(x) + fn(mirror_flow(x))) / 2`, with one call of `fn`.

    Args:
      fn: maps `[2n, ...]` images to `[2n, ...]` values, each clip independently of the others.
      images: `[n, (frames,) H, W, C]` scaled images.
      partners: `[N]` class of the mirror image of each class, if `fn` returns `[2n, N]` values per class; empty: every class is its
        own. None: images are not mirrored, the result is `fn(x)`.
      channels: what the channels are.

    Returns:
      `[n, ...]`.

    >>> mirror_average(lambda x: x[:, 0, 0, :2], jnp.array([[[[2.0, 3.0, 1.0], [6.0, 5.0, 1.0]]]])).tolist()
    [[-2.0, 4.0]]
    """
    if partners is None:
        return fn(images)
    values = fn(jnp.concatenate([images, mirror_flow(images, channels=channels)]))
    own, mirrored = values[: images.shape[0]], values[images.shape[0] :]
    if partners != tuple(range(len(partners))):
        mirrored = jnp.stack([mirrored[:, partner] for partner in partners], axis=1)
    return 0.5 * (own + mirrored)


@transferring
def magnify_flow(images: jax.Array, gain: float) -> jax.Array:
    """Simulate macro-expressions by magnified, saturated micro-expressions, `tanh(gain * x)`.

    Args:
      images: `[..., H, W, 3]` scaled flow.
      gain: magnification, above 0.

    Returns:
      Array of the same shape, within -1..1.

    Raises:
      ValueError: the gain is not above 0.

    Choice: a macro-expression moves the same muscles further, up to a limit set by the skin. The result contains no new information
    and cannot replace results on a real macro-expression corpus.
    """
    check_number("gain", gain, above=0)
    return jnp.tanh(gain * images)
