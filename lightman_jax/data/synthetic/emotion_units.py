"""Combinations of action units by class, for the label spaces of the corpora.

References: Ekman, Friesen, Hager 2002, "Facial Action Coding System", investigator's guide (emotions); Davison, Merghani, Yap 2018
  (objective classes).
Choice: the three classes of MEGC2019 are the combinations that its corpora code most; others leave out what no simulator can move.
"""

from collections.abc import Collection

from lightman_jax.data.corpora.action_units import OBJECTIVE_CLASSES, units_of_class
from lightman_jax.data.corpora.labels import ABSENT_PRESENT, EMOTIONS_3
from lightman_jax.data.records import DataError

Combinations = tuple[tuple[int, ...], ...]

COMBINATIONS: dict[str, Combinations] = {
    "negative": (
        *((4,), (9,), (10,), (14,), (15,), (17,)),
        *((4, 7), (4, 9), (4, 10), (4, 15), (4, 17), (7, 10), (15, 17), (4, 7, 9)),
    ),
    "positive": ((12,), (12,), (6, 12), (6, 12), (12, 25)),
    "surprise": ((1, 2), (1, 2), (1, 2, 5), (1, 2, 25)),
    "anger": ((4,), (4, 7), (4, 5), (4, 5, 7), (23,), (17, 24)),
    "contempt": ((14,),),
    "disgust": ((9,), (10,), (4, 9), (9, 17), (4, 10)),
    "fear": ((1, 2, 4), (1, 2, 4, 5), (1, 4, 5), (20,)),
    "happiness": ((12,), (12,), (6, 12), (6, 12), (12, 25)),
    "sadness": ((15,), (1, 4), (1, 4, 15), (15, 17), (17,)),
    "repression": ((14,), (15,), (17,), (24,)),
    "tense": ((7,), (4, 7), (24,)),
    "others": ((7,), (17,), (4, 14), (14,)),
}
"""Combinations by emotion; each clip draws one."""


def combinations_of(label: str, label_space: str, units: Collection[int]) -> Combinations:
    """Combinations of a class of a label space that consist of some action units.

    Args:
      label: name of the class.
      label_space: name as of `LabelSpace`.
      units: action units that can be simulated.

    Raises:
      DataError: none is known.
    """
    if label_space == "objective":
        known = units_of_class(label)
    elif label_space.startswith("au"):
        unit = int(label_space[2:])
        every = [units for name in EMOTIONS_3 for units in COMBINATIONS[name]]
        known = tuple(one for one in every if (unit in one) == (label == ABSENT_PRESENT[1]))
        known = known if known or label == ABSENT_PRESENT[0] else ((unit,),)
    else:
        known = COMBINATIONS.get(label, ())
    possible = tuple(one for one in known if set(one) <= set(units))
    if not possible:
        named = ", ".join((*COMBINATIONS, *(f"{name} (objective)" for name in OBJECTIVE_CLASSES[:5])))
        raise DataError(f"no action units of the class {label!r} can be simulated; classes with units are {named}")
    return possible
