"""Corpus `simulated_au`: expressions simulated from action units, a macro corpus and training set without a licence.

Heads and displacements are measured geometry (`measured_expressions`), or without it built-in patches (`patch_expressions`). No
face was recorded, and no parameter is fitted to clips; the sizes of the variations were chosen by scores on the public flow of SMIC
and CASME II.
"""

import dataclasses
import functools
import itertools
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightman_jax.data.corpora.labels import EMOTIONS_3
from lightman_jax.data.records import POOLS, Pool, RawClip, Reading
from lightman_jax.data.synthetic.action_unit_fields import SIMULATED_UNITS
from lightman_jax.data.synthetic.emotion_units import combinations_of
from lightman_jax.data.synthetic.face_geometry import FaceGeometry, read_geometry
from lightman_jax.data.synthetic.faces import draw_face
from lightman_jax.data.synthetic.measured_expressions import (
    OWN_CROP,
    RELEASED_CROPS,
    Crop,
    Expression,
    MeasuredVariation,
    Vertices,
    draw_crop,
    draw_expression,
    exact_field,
    moment_between,
    vertices_at,
    with_errors,
)
from lightman_jax.data.synthetic.patch_expressions import WIDTH, PatchVariation, expression_field
from lightman_jax.data.synthetic.rendered_expressions import Studio, draw_studio, render
from lightman_jax.data.synthetic.unit_shapes import UNIT_SHAPES
from lightman_jax.data.vision.images import resize_image
from lightman_jax.data.vision.optical_flow import FLOW_METHODS, FlowMethod, optical_flow, optical_strain, warp_image

NAME = "simulated_au"

_PATCH_INTENSITY: dict[Pool, float] = {"micro": 0.15, "macro": 1.2}
_PATCH_MACRO_NOISE = 0.2
_PIXELS: dict[Pool, tuple[float, float]] = {"micro": (0.3, 1.5), "macro": (2.0, 10.0)}


@dataclasses.dataclass(frozen=True)
class SimulatedAUConfig:
    """Size and classes of the simulated corpus.

    Attributes:
      subjects: number of subjects.
      micro_clips: micro-intensity clips per subject and class: 0.3 to 1.5 pixels of a face 128 wide, or with patches 0.7.
      macro_clips: macro-intensity clips per subject and class: 2 to 10 pixels, or with patches 5.5 with a fifth of the noise.
      seed: random seed.
      geometry: the neutral mesh of the measured geometry, as `face_geometry.neutral_file` finds it; None for patches.
      label_space: name of the label space of the classes.
      classes: their names.
    """

    subjects: int = 60
    micro_clips: int = 10
    macro_clips: int = 2
    seed: int = 0
    geometry: Path | None = None
    label_space: str = "3"
    classes: tuple[str, ...] = EMOTIONS_3


def simulated_au_reading(config: SimulatedAUConfig) -> Reading:
    """All simulated clips, as the reader of a corpus returns them; images are computed during preparation.

    Raises:
      DataError: a class has no action units that can be simulated, or the geometry cannot be read.
    """
    clips = []
    counts = {"micro": config.micro_clips, "macro": config.macro_clips}
    paths = () if config.geometry is None else (config.geometry,)
    if config.geometry is not None:
        read_geometry(config.geometry)
    choices = {
        label: combinations_of(label, config.label_space, UNIT_SHAPES if paths else SIMULATED_UNITS)
        for label in config.classes
    }
    is_objective = config.label_space == "objective"
    for number, pool in itertools.product(range(1, config.subjects + 1), POOLS):
        for index, label in enumerate(np.repeat(config.classes, counts[pool]).tolist()):
            subject, numbers = f"simulated_au/p{number:03d}", (config.seed, number, index)
            units = choices[label][_clip_rng(numbers, pool).integers(len(choices[label]))]
            clip = RawClip(
                f"{subject}/{label}_{index:03d}",
                subject,
                pool,
                "simulated",
                paths,
                numbers,
                action_units=units,
                cropped=True,
            )
            named = {"objective": label} if is_objective else {"emotion": label}
            clips.append(dataclasses.replace(clip, **named))
    note = "simulated_au is simulated from action units: no face was recorded"
    root = Path(NAME) if config.geometry is None else config.geometry.parent
    return Reading(NAME, root, tuple(clips), notes=(f"{note}; {_source(config.geometry)}",))


def _source(geometry: Path | None) -> str:
    """What moves the faces, for notes."""
    return (
        "built-in patches of displacement"
        if geometry is None
        else "measured face geometry of ICT-FaceKit (MIT licence)"
    )


def simulated_flow(
    clip: RawClip,
    face_side: int,
    image_side: int,
    view: tuple[str, str] = (FLOW_METHODS[0], "rise"),
    magnify: float = 1.0,
    variation: MeasuredVariation | PatchVariation | None = None,
    crop: Crop | None = None,
) -> NDArray[np.float32]:
    """Flow and strain `[image_side, image_side, 3]` of a simulated clip, in pixels of a face `face_side` wide.

    Measured geometry: the exact displacement in the crop of the extraction, with errors as of an estimator. The way back (`fall`)
    ends near the rest, and has errors of its own. Patches: the field of `simulated_field`, or its negative.

    Args:
      clip: of this corpus.
      face_side, image_side: pixels of the face on which the flow is computed, and of the image.
      view: extraction and leg, as of `preparation.views.View`.
      magnify: factor of the displacement.
      variation: sizes of the variations; None for those of the corpus.
      crop: of measured heads before it is varied; None for that of the extraction.

    Choice: exact flow with noise. Flow of an estimator between rendered frames, `estimated_flow`, transfers no better to released
      clips (study `simulated_training`).
    """
    extraction, leg = view
    is_fall = leg == "fall"
    if not clip.paths:
        patches = variation if isinstance(variation, PatchVariation) else None
        field = magnify * simulated_field(clip, image_side, patches) * (-1 if is_fall else 1)
        pixels = field * face_side / image_side
        return np.dstack([pixels, optical_strain(field)]).astype(np.float32)
    measured = variation if isinstance(variation, MeasuredVariation) else MeasuredVariation()
    head = _measured_head(clip, measured)
    own = _crop_of(clip, extraction, measured, crop)
    exact = magnify * exact_field(head.geometry, *head.ends(is_fall), own, face_side)
    flow = with_errors(_view_rng(clip, f"{extraction}_{leg}"), exact, own, measured)
    return _with_strain(flow, image_side)


def estimated_flow(
    clip: RawClip,
    face_side: int,
    image_side: int,
    view: tuple[str, str],
    method: FlowMethod,
    variation: MeasuredVariation,
) -> NDArray[np.float32]:
    """Flow and strain as of `simulated_flow` that a method of optical flow finds between two rendered frames, with errors added."""
    # The frames are the same whatever the errors that are added.
    without = dataclasses.replace(variation, blur=0.0, noise=0.0, drift=0.0)
    first, second, crop = _rendered_ends(clip, face_side, view, without)
    flow = optical_flow(first, second, method)
    return _with_strain(with_errors(_view_rng(clip, "_".join(view)), flow, crop, variation), image_side)


@functools.lru_cache(maxsize=1)
def _rendered_ends(
    clip: RawClip, side: int, view: tuple[str, str], variation: MeasuredVariation
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Crop]:
    """The frames before and after a leg, and their crop."""
    extraction, leg = view
    head = _measured_head(clip, variation)
    crop = _crop_of(clip, extraction, variation)
    studio, rng = _studio(clip.paths[0], *clip.numbers[:2]), _view_rng(clip, f"{extraction}_{leg}_frames")
    ends = [render(rng, head.geometry, head.rest, one, studio, (crop, side)) for one in head.ends(leg == "fall")]
    return ends[0], ends[1], crop


@functools.lru_cache(maxsize=4)
def _studio(neutral: Path, seed: int, subject: int) -> Studio:
    """Skin, light and camera of a subject, the same in all clips and views."""
    rng = np.random.default_rng((seed, subject, zlib.crc32(b"studio")))
    return draw_studio(rng, read_geometry(neutral), _rest(neutral, seed, subject))


def simulated_field(clip: RawClip, side: int, variation: PatchVariation | None = None) -> NDArray[np.float64]:
    """Displacement `[side, side, 2]` of a clip of patches from onset to apex, in pixels of a face `side` wide.

    Without a `variation` it is the default, with a fifth of its noise for macro clips.
    """
    rng = _expression_rng(clip)
    if variation is None:
        variation = PatchVariation(noise=PatchVariation.noise * (1 if clip.pool == "micro" else _PATCH_MACRO_NOISE))
    return _PATCH_INTENSITY[clip.pool] * side / WIDTH * expression_field(rng, clip.action_units, side, variation)


def simulated_faces(clip: RawClip, side: int, frames: int) -> list[NDArray[np.uint8]]:
    """Grey frames `[side, side]` of a simulated clip from onset to the apex in the middle and back.

    Measured geometry: rendered heads in the crop of their flow, whose offset is near their rest. Patches: a synthetic
    face moved by their field.
    """
    rises = np.sin(np.pi * np.linspace(0, 1, frames)) ** 2
    if not clip.paths:
        face = draw_face(np.random.default_rng((clip.numbers[0], clip.numbers[1])), side)[..., 1].copy()
        field = simulated_field(clip, side)
        return [warp_image(face, rise * field) for rise in rises]
    variation = MeasuredVariation()
    head = _measured_head(clip, variation)
    rng, studio = _view_rng(clip, "frames"), _studio(clip.paths[0], *clip.numbers[:2])
    crop = _crop_of(clip, FLOW_METHODS[0], variation)
    images = []
    for place, rise in enumerate(rises):
        start = None if place <= frames // 2 else head.expression.offset
        moved = vertices_at(head.geometry, head.rest, moment_between(start, head.expression.apex, float(rise)))
        images.append(render(rng, head.geometry, head.rest, moved, studio, (crop, side)))
    return images


class _MeasuredHead(NamedTuple):
    """A clip's identity at rest and its expression."""

    geometry: FaceGeometry
    rest: Vertices
    expression: Expression

    def ends(self, is_fall: bool) -> tuple[Vertices, Vertices]:
        """Vertices at the onset and the apex, or at the apex and the offset."""
        apex = vertices_at(self.geometry, self.rest, self.expression.apex)
        return (apex, vertices_at(self.geometry, self.rest, self.expression.offset)) if is_fall else (self.rest, apex)


def _measured_head(clip: RawClip, variation: MeasuredVariation) -> _MeasuredHead:
    geometry, rest = read_geometry(clip.paths[0]), _rest(clip.paths[0], *clip.numbers[:2])
    rng = _expression_rng(clip)
    pixels = float(np.exp(rng.uniform(*np.log(_PIXELS[clip.pool]))))
    return _MeasuredHead(geometry, rest, draw_expression(rng, geometry, clip.action_units, pixels, variation))


@functools.lru_cache(maxsize=4)
def _rest(neutral: Path, seed: int, subject: int) -> Vertices:
    """The head of a subject at rest, the same in all of its clips."""
    return read_geometry(neutral).identity(np.random.default_rng((seed, subject, zlib.crc32(b"identity"))))


def _crop_of(clip: RawClip, extraction: str, variation: MeasuredVariation, crop: Crop | None = None) -> Crop:
    """The varied crop of an extraction; those that this package computes share one."""
    released = RELEASED_CROPS.get(extraction)
    name = extraction if released else FLOW_METHODS[0]
    return draw_crop(_view_rng(clip, name), crop or released or OWN_CROP, variation)


def _with_strain(flow: NDArray[np.float32], image_side: int) -> NDArray[np.float32]:
    return resize_image(np.dstack([flow, optical_strain(flow)]), image_side, image_side).astype(np.float32)


def _clip_rng(numbers: tuple[int, ...], pool: Pool) -> np.random.Generator:
    return np.random.default_rng((*numbers, int(pool == "macro")))


def _expression_rng(clip: RawClip) -> np.random.Generator:
    """The generator of a clip after its action units were drawn."""
    rng = _clip_rng(clip.numbers, clip.pool)
    # Any range takes the same draw.
    rng.integers(5)
    return rng


def _view_rng(clip: RawClip, what: str) -> np.random.Generator:
    """Generator of what differs between the images of one clip."""
    return np.random.default_rng((*clip.numbers, int(clip.pool == "macro"), zlib.crc32(what.encode())))
