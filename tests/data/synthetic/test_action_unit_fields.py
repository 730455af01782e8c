"""Displacement fields of single action units have the direction of the Facial Action Coding System."""

import numpy as np
import pytest

from lightman_jax.data.synthetic.action_unit_fields import FACE_UNITS, action_unit_field
from lightman_jax.data.synthetic.emotion_units import COMBINATIONS
from lightman_jax.data.synthetic.faces import UNITS_OF_EMOTION
from lightman_jax.data.synthetic.patch_expressions import PatchVariation, expression_field
from lightman_jax.data.synthetic.unit_shapes import UNIT_SHAPES

NO_VARIATION = PatchVariation(shift=0, size=0, asymmetry=0, head=0, noise=0, stray=0, blink=0)


@pytest.mark.parametrize(
    ("unit", "row", "sign_u_left", "sign_v"),
    [(1, 0.22, 0, -1), (4, 0.22, 1, 1), (12, 0.69, -1, -1), (15, 0.71, -1, 1), (26, 0.86, 0, 1)],
)
def test_units_of_invented_faces_pull_in_the_direction_of_the_coding_system(unit, row, sign_u_left, sign_v):
    field = action_unit_field({unit: (1.0, 1.0)}, 100)
    np.testing.assert_allclose(field[:, ::-1] * [-1, 1], field, atol=1e-12)
    strongest = np.hypot(*np.moveaxis(field[:, :50], -1, 0)).argmax()
    top, left = divmod(int(strongest), 50)
    assert abs((top + 0.5) / 100 - row) < 0.03
    u, v = field[top, left]
    assert np.sign(np.round(v, 3)) == sign_v
    if sign_u_left:
        assert np.sign(u) == sign_u_left


@pytest.mark.parametrize(
    ("unit", "row", "column", "out", "down"),
    [(1, 5.5, 2.5, 0, -1), (4, 6, 3.2, -1, 1), (12, 19.5, 5, 1, -1), (15, 20.5, 4.5, 0, 1), (26, 24, 1.5, 0, 1)],
)
def test_units_of_simulated_au_pull_in_the_direction_of_the_coding_system(unit, row, column, out, down):
    field = np.mean([expression_field(np.random.default_rng(n), (unit,), 28, NO_VARIATION) for n in range(40)], axis=0)
    np.testing.assert_allclose(field[:, ::-1] * [-1, 1], field, atol=0.12)
    right = field[:, 14:]
    top, across = np.unravel_index(np.hypot(*np.moveaxis(right, -1, 0)).argmax(), right.shape[:2])
    assert abs(top - row) <= 2
    assert abs(across + 0.5 - column) <= 2
    u, v = right[top, across]
    assert np.sign(v) == down
    assert out == 0 or np.sign(u) == out


@pytest.mark.parametrize(("emotions", "table"), [(UNITS_OF_EMOTION, FACE_UNITS), (COMBINATIONS, UNIT_SHAPES)])
def test_every_combination_of_an_emotion_has_known_units(emotions, table):
    assert {unit for choices in emotions.values() for choice in choices for unit in choice} <= set(table)
