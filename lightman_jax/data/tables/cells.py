"""Single cells of tables: text, whole numbers, marks for missing values, and values that a spreadsheet program has changed."""

import datetime
import re
import unicodedata
from typing import Any

_MARKS = r"/ \ - ? . nan none null nil na n/a n.a. nat <na> #n/a #na missing"
MISSING = frozenset(["", *_MARKS.split()])
"""Cells that mean a missing value, in lower case; also several dashes."""

MAX_CELL, MAX_PATH = 200, 1000
"""Letters of a cell, and of a path."""

# About three hours at 1,000 frames per second.
_MAX_NUMBER = 10_000_000
# Beyond 15 digits, spreadsheet programs round.
_MAX_EXACT = 1e15
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_MONTH = "(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])"
_DATE = re.compile(
    rf"\d{{1,2}}[-. ]+{_MONTH}\.?([-. ]+\d{{2,4}})?|{_MONTH}[-. ]+\d{{2,4}}|\d{{4}}-\d\d-\d\d 00:00:00", re.IGNORECASE
)
_AS_TEXT = "format the column as text in the spreadsheet program and enter the cell again"


class Unread(str):
    """Text of a cell without a value: a formula that was never computed, or a spreadsheet error such as `#REF!`."""

    __slots__ = ()


def cell_text(cell: Any, longest: int = MAX_CELL) -> str:
    """A cell as text of at most `longest` letters without outer blanks, whole numbers without `.0`.

    >>> cell_text(6.0), cell_text(" 006 "), cell_text(None)
    ('6', '006', '')
    """
    if cell is None:
        return ""
    if isinstance(cell, float) and cell == cell and abs(cell) < _MAX_EXACT and cell == int(cell):
        return str(int(cell))
    return _stripped(str(cell))[:longest]


def is_missing(text: str) -> bool:
    """Whether a text is a mark for a missing value.

    >>> is_missing("n/a"), is_missing("NaN"), is_missing("0")
    (True, True, False)
    """
    plain = unicodedata.normalize("NFKC", _stripped(text)).translate(_DASHES).lower()
    return plain in MISSING or not plain.strip("- ")


def whole_number(cell: Any) -> int | None:
    """A cell, a number or text, as a whole number; None if missing.

    >>> whole_number("6.0"), whole_number("6,0"), whole_number("-")
    (6, 6, None)

    Raises:
      ValueError: the cell is neither a whole number up to ten million nor a mark for a missing value, or could count thousands as
        well as decimals, as `1,000`.
    """
    text = cell_text(cell)
    if is_missing(text):
        return None
    digits = text.translate(_DASHES).removeprefix("'")
    if isinstance(cell, str) and re.fullmatch(r"[+-]?\d{1,3}([.,'\u2019\s]\d{3})+", digits):
        raise ValueError(f"{text!r}, which may count thousands or decimals; write it with digits alone")
    if not re.fullmatch(r"[+-]?\d+(\.\d*|,\d+)?", digits):
        raise ValueError(f"{text!r}, not a number in digits")
    value = float(digits.replace(",", "."))
    if not abs(value) <= _MAX_NUMBER or value != int(value):
        raise ValueError(f"{text!r}, not a whole number up to {_MAX_NUMBER:,}")
    return int(value)


def cell_fault(cell: Any, longest: int = MAX_CELL) -> tuple[str, str] | None:
    """What is wrong with a cell that no longer holds what was entered, and the remedy; None if it can be used."""
    if isinstance(cell, Unread) and not is_missing(cell):
        found = f"the formula {cell[:60]} without a stored value" if cell.startswith("=") else f"the error {cell}"
        return found, "open the table in a spreadsheet program, correct the cell and save it"
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        return f"the date or time {cell}, into which a spreadsheet program turns text such as 1-2", _AS_TEXT
    text = str(cell).strip()
    if (isinstance(cell, float) and abs(cell) >= _MAX_EXACT) or re.fullmatch(r"\d([.,]\d+)?E\+\d\d+", text):
        return f"the rounded number {text}", _AS_TEXT
    if len(text) > longest:
        return f"{len(text)} letters, {text[:40]!r} and so on", f"shorten it to {longest} letters"
    return None


def looks_like_date(text: str) -> bool:
    """Whether a text has the form in which a spreadsheet program saves a date, and so may once have been another text.

    >>> looks_like_date("2-Jan"), looks_like_date("01. Feb"), looks_like_date("anna-02"), looks_like_date("Jan")
    (True, True, False, False)
    """
    return bool(_DATE.fullmatch(text))


def _stripped(text: str) -> str:
    while text != (text := text.strip().strip(_INVISIBLE)):
        pass
    return text
