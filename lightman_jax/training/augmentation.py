"""Random shifts, rotations, zooms and changes of light of the clips of a task batch, drawn at every step."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from lightman_jax.checks import is_number
from lightman_jax.preprocessing import Channels, channels_of
from lightman_jax.types import Clips, Task

_WHITE = 255.0


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Ranges of the random changes of training clips; 0 is no change.

    Attributes:
      shift: largest shift to each side, as a share of the side of the image.
      rotation: largest rotation to each side, in degrees.
      zoom: largest change of the size, as a share: 0.1 draws 0.9 to 1.1.
      brightness: largest change of the brightness, as a share of white; of images alone, not of flow.
      contrast: largest change of the contrast, as a share: 0.2 draws 0.8 to 1.2; of images alone, not of flow.
    """

    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        for name, most in {"shift": 0.5, "rotation": 180, "zoom": 0.9, "brightness": 1, "contrast": 1}.items():
            value = getattr(self, name)
            if not is_number(value) or value > most:
                raise ValueError(f"{name} {value} is out of range; choose 0 (none) to {most:g}")

    @property
    def changes(self) -> bool:
        """Whether anything is changed."""
        return any(dataclasses.astuple(self))

    def refuse_flow(self) -> None:
        """Raise `ValueError` for changes that flow does not have."""
        if self.brightness or self.contrast:
            raise ValueError(
                f"brightness {self.brightness:g} and contrast {self.contrast:g} change images, and these are flow; leave them out, "
                "or choose another --representation, such as apex"
            )


def augment_at_random(key: jax.Array, tasks: Task, config: AugmentConfig, *, channels: Channels = "auto") -> Task:
    """Shift, rotate, zoom and light each clip of a task batch at random, all its frames and views alike.

    Args:
      key: JAX random key.
      tasks: of unscaled clips less the offset of `scale_parameters`, images `[T, n, (frames or views,) H, W, C]`, flow in pixels or
        images in grey levels 0..255.
      config: ranges of the changes, from which each is drawn evenly.
      channels: what the channels are.

    Returns:
      The tasks with images of the same shapes; the same arrays if the config changes nothing.

    Raises:
      ValueError: brightness or contrast of flow.

    Choice: bilinear, with repeated edges. The vectors of flow are rotated and zoomed with the image, about the offset, since the
      offset of 8-bit flow is no movement; strain is not zoomed, as it is a share. Contrast is about the mean of a clip and channel.
    """
    if not config.changes:
        return tasks
    keys = jax.random.split(key, 3)
    parts = zip(keys, (tasks.support, tasks.macro, tasks.query), strict=True)
    return Task(*(_augmented(own, clips, config, channels_of(clips.image, channels)) for own, clips in parts))


def _augmented(key: jax.Array, clips: Clips, config: AugmentConfig, channels: Channels) -> Clips:
    if channels == "flow":
        config.refuse_flow()
    image = clips.image
    keys = iter(jax.random.split(key, len(dataclasses.fields(config)) + 1))

    def drawn(most: float) -> jax.Array:
        return jax.random.uniform(next(keys), image.shape[:2], image.dtype, -most, most)

    right, down = drawn(config.shift * image.shape[-2]), drawn(config.shift * image.shape[-3])
    angle, zoom = drawn(math.radians(config.rotation)), 1 + drawn(config.zoom)
    brighter, stronger = drawn(_WHITE * config.brightness), 1 + drawn(config.contrast)
    if config.shift or config.rotation or config.zoom:
        move = jax.vmap(jax.vmap(functools.partial(moved, is_flow=channels == "flow")))
        image = move(image, right, down, angle, zoom)
    if config.brightness or config.contrast:
        mean = image.mean(axis=tuple(range(2, image.ndim - 1)), keepdims=True)
        brighter, stronger = (jnp.expand_dims(one, tuple(range(2, image.ndim))) for one in (brighter, stronger))
        image = stronger * (image - mean) + mean + brighter
    return dataclasses.replace(clips, image=image)


def moved(
    image: jax.Array, right: jax.Array, down: jax.Array, angle: jax.Array, zoom: jax.Array, *, is_flow: bool = False
) -> jax.Array:
    """Zoom and rotate an image about its center, then shift it; bilinear, with repeated edges.

    Args:
      image: `[..., H, W, C]`, all moved alike.
      right, down: shift in pixels.
      angle: rotation in radians, clockwise.
      zoom: factor of the size.
      is_flow: the first two channels are vectors (right, down), which are rotated and zoomed too.

    Returns:
      Array of the shape of `image`.
    """
    rows, columns = jnp.indices(image.shape[-3:-1], dtype=image.dtype)
    center_row, center_column = (rows[-1, 0] / 2, columns[0, -1] / 2)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    x, y = columns - center_column - right, rows - center_row - down
    places = [(cosine * y - sine * x) / zoom + center_row, (cosine * x + sine * y) / zoom + center_column]
    planes = jnp.moveaxis(image, -1, -3)
    sampled = jax.vmap(lambda plane: map_coordinates(plane, places, order=1, mode="nearest"))(
        planes.reshape(-1, *planes.shape[-2:])
    )
    out = jnp.moveaxis(sampled.reshape(planes.shape), -3, -1)
    if not is_flow:
        return out
    u, v = out[..., 0], out[..., 1]
    return out.at[..., 0].set(zoom * (cosine * u - sine * v)).at[..., 1].set(zoom * (sine * u + cosine * v))
