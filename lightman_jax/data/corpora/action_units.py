"""Parsing of action units as annotators write them, and the objective classes that they define."""

import re

OBJECTIVE_CLASSES = ("I", "II", "III", "IV", "V", "VI", "VII")

_SEPARATORS = "+,;\N{FULLWIDTH COMMA}\N{FULLWIDTH SEMICOLON}\N{IDEOGRAPHIC COMMA}"

_UNITS_OF_CLASS = {
    "I": "6, 12, 6+12, 6+7+12, 7+12",
    "II": "1+2, 5, 25, 1+2+25, 25+26, 5+24",
    "III": "23, 4, 4+7, 4+5, 4+5+7, 17+24, 4+6+7, 4+38",
    "IV": "10, 9, 4+9, 4+40, 4+5+40, 4+7+9, 4+9+17, 4+7+10, 4+5+7+9, 7+10",
    "V": "1, 15, 1+4, 6+15, 15+17",
    "VI": "1+2+4, 20",
}
_CLASS_OF_UNITS = {
    frozenset(map(int, units.split("+"))): name
    for name, listed in _UNITS_OF_CLASS.items()
    for units in listed.split(", ")
}


def units_of_class(name: str) -> tuple[tuple[int, ...], ...]:
    """Sets of action units of an objective class.

    >>> units_of_class("VI")
    ((1, 2, 4), (20,))
    """
    return tuple(tuple(sorted(units)) for units, found in _CLASS_OF_UNITS.items() if found == name)


def parse_action_units(text: str) -> tuple[int, ...]:
    """Numbers of the action units in a table cell.

    Accepts sides and ranges (`L R T B`), intensities (`A` to `E`), the mark `(k)` of a kept unit, a leading `AU`, and the
    separators `+ , ;` and their Chinese forms. Units marked as doubtful (`12 or 14`, `4?`) are left out.

    >>> parse_action_units("4+L10"), parse_action_units("R2+15")
    ((4, 10), (2, 15))
    >>> parse_action_units("AU1, AU2"), parse_action_units("12 or 14, 4B")
    ((1, 2), (4,))
    """
    units = set()
    for part in re.split(f"[{_SEPARATORS}]", text):
        if "?" in part or re.search(r"\bor\b", part, flags=re.IGNORECASE):
            continue
        # Intensity letters follow the number; longer text is a remark, not a unit.
        found = re.fullmatch(
            r"\s*(?:AU)?\s*[A-Z]{0,2}\s*(\d{1,2})\s*[A-Z]{0,2}\s*(?:\(\w*\))?\s*", part, flags=re.IGNORECASE
        )
        if found and int(found[1]):
            units.add(int(found[1]))
    return tuple(sorted(units))


def objective_class(units: tuple[int, ...]) -> str:
    """Objective class `I` to `VII` of a set of action units; VII contains every set not listed for the first six.

    Reference: Davison, Merghani, Yap 2018, "Objective Classes for Micro-Facial Expression Recognition", table 1.

    >>> objective_class((12,)), objective_class((1, 2)), objective_class((4, 20))
    ('I', 'II', 'VII')
    """
    return _CLASS_OF_UNITS.get(frozenset(units), "VII")
