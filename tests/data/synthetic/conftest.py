"""Measured face geometry: an invented one, and the real one where there is a copy of it."""

import os
from pathlib import Path

import pytest

from lightman_jax.data.synthetic.face_geometry import neutral_file, read_geometry


@pytest.fixture(params=["invented", "real"])
def geometry(request, facekit):
    """The invented geometry, and that of the folder in `LIGHTMAN_GEOMETRY` if it is set."""
    if request.param == "invented":
        return read_geometry(neutral_file(facekit))
    if not os.environ.get("LIGHTMAN_GEOMETRY"):
        pytest.skip("LIGHTMAN_GEOMETRY is not set to a folder of ICT-FaceKit")
    return read_geometry(neutral_file(Path(os.environ["LIGHTMAN_GEOMETRY"])))
