"""Tasks from stored images, which are converted to scaled float32 images as they are drawn.

The draws are those of `draw_task_batch`. The images of a few steps are gathered in their stored dtype, from device memory or from
files, and then converted, augmented and scaled by one program, so that both give the same bits.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lightman_jax.losses.classification import keep_where
from lightman_jax.meta.view_networks import unit_images
from lightman_jax.preprocessing import magnify_flow
from lightman_jax.training.augmentation import augment_at_random
from lightman_jax.training.clip_scale import ClipScale, scaled
from lightman_jax.training.config import Auxiliary, TaskConfig, TrainConfig
from lightman_jax.training.tasks import DrawnClips, DrawnTask, Pool, draw_rows_batch
from lightman_jax.types import Clips, Task

MOST_FINISHED = 1024
"""Training clips from which final batch moments and prototypes are computed, evenly spaced if a fold has more.

Choice: the standard error of a mean over 1,024 clips is 3% of the standard deviation over clips.
"""
_FINISHED_BYTES, _BLOCK_PIXELS = 128 << 20, 1 << 20


class StoredForm(NamedTuple):
    """How the images of a training are stored: the shape of one image, the dtype, and whether images are read from files."""

    shape: tuple[int, ...]
    dtype: np.dtype
    streamed: bool


class FinalClips(NamedTuple):
    """Rows `[B, K]` of training clips in blocks, which are not padding, and their stored images."""

    row: Any
    where: Any
    image: Any


def drawn_rows(drawn: DrawnTask, auxiliary: Auxiliary) -> jax.Array:
    """`[T, R]` rows of the clips whose images a task batch needs: support, query and, unless they are other views, macro clips."""
    parts = [drawn.support.row, drawn.query.row, *([] if auxiliary == "views" else [drawn.macro.row])]
    return jnp.concatenate(parts, axis=1)


def drawn_clips(task: TaskConfig, classes: int, auxiliary: Auxiliary) -> int:
    """Number of clips whose images an outer step needs, T R."""
    macro = 0 if auxiliary == "views" else task.macro_shots
    return task.meta_batch_size * classes * (2 * task.shots + macro)


def draw_rows(
    key: jax.Array, micro: Pool, macro: Pool, *, classes: int, config: TrainConfig, auxiliary: Auxiliary
) -> DrawnTask:
    """The rows of the T tasks of an outer step."""
    first = micro.label.shape[0] if auxiliary == "macro" else 0
    return draw_rows_batch(key, micro, macro, classes=classes, config=config.task, first_macro=first)


def stored_rows(rows: jax.Array, micro: jax.Array, macro: jax.Array | None) -> jax.Array:
    """Stored images of rows of any shape; rows from the number of micro clips on are macro clips."""
    count = micro.shape[0]
    images = micro[jnp.minimum(rows, count - 1)]
    if macro is None:
        return images
    is_micro = (rows < count).reshape(*rows.shape, *[1] * (micro.ndim - 1))
    return jnp.where(is_micro, images, macro[jnp.maximum(rows - count, 0)])


def converted_tasks(
    key: jax.Array, drawn: DrawnTask, images: jax.Array, scale: ClipScale, config: TrainConfig, auxiliary: Auxiliary
) -> Task:
    """A task batch from stored images.

    Args:
      key: JAX random key of the augmentation.
      drawn: from `draw_rows`.
      images: `[T, R, ...]` of the rows of `drawn_rows`.
      scale: of all clips, micro clips first.
      config: settings of the training.
      auxiliary: what the auxiliary branch aligns with.
    """
    rows = drawn_rows(drawn, auxiliary)
    own = scale.rows(rows)
    centred = images.astype(own.offset.dtype) - own.offset
    shots = drawn.support.row.shape[1]
    # Other views of the same clips replace the macro clips later.
    parts = [slice(0, shots), slice(2 * shots, None) if auxiliary != "views" else slice(0, shots)]
    places = {"support": parts[0], "macro": parts[1], "query": slice(shots, 2 * shots)}
    clips = {
        name: getattr(drawn, name) if name != "macro" or auxiliary != "views" else drawn.support for name in places
    }
    raw = Task(**{name: _clips(clips[name], centred[:, place]) for name, place in places.items()})
    raw = augment_at_random(key, raw, config.augment, channels=config.channels)
    units = jax.vmap(lambda x: unit_images(x, config.network))
    found = {name: units(getattr(raw, name).image / own.divisor[:, place]) for name, place in places.items()}
    if auxiliary == "magnified":
        found["macro"] = magnify_flow(found["macro"], config.macro_gain)
    return Task(**{name: _clips(clips[name], jax.vmap(keep_where)(found[name], clips[name].where)) for name in places})


def final_clips(clips: FinalClips, label: jax.Array, scale: ClipScale, config: TrainConfig) -> Clips:
    """Scaled training clips in blocks, `[B, K, ...]`."""
    found = scaled(clips.image, scale.rows(clips.row))
    found = jax.vmap(lambda x: unit_images(x, config.network))(found)
    return Clips(image=found, label=label[clips.row], where=clips.where)


def final_rows(label: NDArray[np.int32], train: NDArray[np.bool_], form: StoredForm) -> FinalClips:
    """The training clips of a fold that `Method.finish` sees: all, or as many as `MOST_FINISHED` and 128 MB allow.

    Choice: evenly spaced in the order of the classes, so that every class keeps its share.
    """
    pixels = max(1, int(np.prod(form.shape[:-1])))
    most = max(1, min(len(label), MOST_FINISHED, _FINISHED_BYTES // (pixels * form.shape[-1] * form.dtype.itemsize)))
    block = max(1, min(most, _BLOCK_PIXELS // pixels))
    rows = np.flatnonzero(train)
    rows = rows[np.argsort(label[rows], kind="stable")]
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]
    # Blocks mix the classes.
    chosen = np.sort(chosen)
    blocks = -(-most // block)
    padded, where = np.zeros(blocks * block, np.int32), np.zeros(blocks * block, bool)
    order = np.arange(len(chosen)) % blocks * block + np.arange(len(chosen)) // blocks
    padded[order], where[order] = chosen, True
    return FinalClips(padded.reshape(blocks, block), where.reshape(blocks, block), None)


def _clips(drawn: DrawnClips, images: jax.Array) -> Clips:
    return Clips(image=images, label=drawn.label, where=drawn.where)
