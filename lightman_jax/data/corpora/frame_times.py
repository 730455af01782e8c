"""Times in the names of images, such as `11-26-57-900` or `1712345678.95`, and the order that they give."""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from statistics import median

_UNIX, _COUNTER_LIMIT = 10**8, 10**9
_LIMITS = (60, 60, 24)
_RADICES = (10, 12, 15, 24, 25, 30, 48, 50, 60, 90, 100, 120, 200, 240, 300, 500, 10**3, 10**4, 10**5, 10**6, 10**9)
"""Units per second: frame rates, and powers of ten for decimals; 60 also for minutes and hours."""
_LARGEST_JUMP = 2.5
"""Largest step across a carry over those before it. Choice: one or two dropped frames; steps of equal size allow none."""
_SEPARATOR = re.compile(r"[\W_]*(?:h|m|min|s|sec|t)?[\W_]*")
_TIME_WORDS = frozenset({"at", "s", "sec", "t", "time", "timestamp", "ts"})
_LONG_CHAIN, _CLOCK, _CLEARER = 3, 4, 2


class UnorderedError(Exception):
    """Names in no order; the argument states which."""


def time_keys(
    texts: Sequence[str], columns: Sequence[Sequence[str]], varying: Sequence[int]
) -> list[int | Fraction] | None:
    """Sorting keys of names that hold a time; None if they hold none.

    A time is a chain of numbers that ends with the last one that varies. A number of nine digits or more is a time by itself (seconds
    since 1970, or a compact date); otherwise the steps between names must be as even across a carry as within a second.

    Args:
      texts: texts before, between and after the numbers of every name.
      columns: for each number of a name, its digits in every name.
      varying: indices of the numbers that differ between names.

    Raises:
      UnorderedError: the last number may be decimals (`.9` after `.11`) or a count (9 before 11).
    """
    last = varying[-1]
    start = last
    while start > 0 and _SEPARATOR.fullmatch(texts[start]):
        start -= 1
    if varying[0] < start:
        return None
    chain = [list(column) for column in columns[start : last + 1]]
    if len(varying) == 1 and not _is_single_time(chain, texts[last]):
        return None
    if len(varying) == 1:
        return _keys([0] * len(chain[-1]), chain[-1], trusted=True)
    seconds = _seconds(chain[:-1])
    if seconds is None or not _may_carry(texts[start], chain):
        return None
    return _keys(seconds, chain[-1], trusted=_is_clock(chain))


def _is_single_time(chain: list[list[str]], text: str) -> bool:
    """Whether the only number that varies is a time rather than a frame number."""
    numbers = sorted({int(digits) for digits in chain[-1]})
    before = chain[-2][0] if len(chain) > 1 else ""
    if numbers[-1] >= _COUNTER_LIMIT or (before and int(before) >= _UNIX):
        return True
    if re.fullmatch(r"(19|20)\d{6}", before) and _clock_seconds(chain[-1]) is not None:
        return True
    if text == "." and before and _are_decimals(chain[-1]):
        return True
    steps = [later - sooner for sooner, later in itertools.pairwise(numbers)]
    return _is_clock(chain) and median(steps) > 1


def _is_clock(chain: list[list[str]]) -> bool:
    """Whether the last four numbers are written as hours, minutes and seconds of two digits, and a part of a second."""
    fields = chain[-_CLOCK:-1]
    return len(fields) == _CLOCK - 1 and all(
        len(digits) == 2 and int(digits) < limit
        for column, limit in zip(reversed(fields), _LIMITS, strict=True)
        for digits in column
    )


def _may_carry(text: str, chain: list[list[str]]) -> bool:
    """Whether several numbers that vary may be one time, not the number of a camera or clip and that of a frame."""
    if _is_clock(chain) or min(map(int, chain[-2])) >= _UNIX:
        return True
    groups: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for *leading, digits in zip(*chain, strict=True):
        groups[tuple(leading)].add(digits)
    sets = list(groups.values())
    is_product = len(sets[0]) > 1 and all(one == sets[0] for one in sets)
    words = re.findall(r"[a-z]+", text)
    named = not words or words[-1] in _TIME_WORDS
    return not is_product and (named or len(chain) >= _LONG_CHAIN)


def _seconds(chain: list[list[str]]) -> list[int] | None:
    """Whole seconds of the numbers before the last one; None if they are none."""
    clock = _clock_seconds(chain[-1])
    totals = clock or [int(digits) for digits in chain[-1]]
    if clock is None and min(totals) < _UNIX and max(totals) >= _LIMITS[0]:
        return None
    scale = 86400 if clock else _LIMITS[0]
    for limit, column in zip((*_LIMITS[1:], *[100] * len(chain)), reversed(chain[:-1]), strict=False):
        numbers = [int(digits) for digits in column]
        if len(set(numbers)) > 1 and max(numbers) >= limit and not clock:
            return None
        totals = [total + scale * number for total, number in zip(totals, numbers, strict=True)]
        scale *= limit
    return totals


def _clock_seconds(column: Sequence[str]) -> list[int] | None:
    """Seconds of numbers `HHMMSS`; None if one is none."""
    parts = [re.fullmatch(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)", digits) for digits in column]
    found = [3600 * int(part[1]) + 60 * int(part[2]) + int(part[3]) for part in parts if part]
    return found if len(found) == len(parts) else None


def _keys(seconds: list[int], digits: Sequence[str], *, trusted: bool) -> list[int | Fraction] | None:
    """Times from whole seconds and the number after them; None if their steps are uneven, unless they are trusted."""
    counts = [int(one) for one in digits]
    decimals = _are_decimals(digits)
    as_decimals = [second + Fraction(int(one), 10 ** len(one)) for second, one in zip(seconds, digits, strict=True)]
    if decimals is None:
        jumps = {False: _count_jump(seconds, counts), True: _jump(seconds, as_decimals)}
        decimals = jumps[True] < jumps[False]
        if jumps[not decimals] < _CLEARER * jumps[decimals]:
            pair = f"{min(digits, key=len)} and {max(digits, key=len)}"
            raise UnorderedError(f"times that end in {pair}, which may be decimals or counts")
    jump = _jump(seconds, as_decimals) if decimals else _count_jump(seconds, counts)
    if not trusted and jump > 1:
        return None
    if decimals:
        return list(as_decimals)
    radix = max(counts) + 1
    return [second * radix + count for second, count in zip(seconds, counts, strict=True)]


def _are_decimals(digits: Sequence[str]) -> bool | None:
    """Whether digits are decimals, not a count; None if they may be either. Of equal length, both give the same order."""
    longer = [one for one in digits if len(one) > 1]
    if len(set(map(len, digits))) == 1 or any(one.endswith("0") for one in longer):
        return False
    return True if any(one.startswith("0") for one in longer) else None


def _count_jump(seconds: list[int], counts: list[int]) -> float:
    radices = [radix for radix in _RADICES if radix > max(counts)]
    totals = ([second * radix + count for second, count in zip(seconds, counts, strict=True)] for radix in radices)
    return min((_jump(seconds, total) for total in totals), default=float("inf"))


def _jump(seconds: list[int], totals: Sequence[int | Fraction]) -> float:
    """Largest step across a second over the largest that is allowed after the steps within a second."""
    order = sorted(set(zip(totals, seconds, strict=True)))
    steps = [(b[0] - a[0], a[1] == b[1]) for a, b in itertools.pairwise(order)]
    within, across = [step for step, same in steps if same], [step for step, same in steps if not same]
    if not within or not across:
        usual = sorted(within or across)
        return float(usual[-1] / usual[len(usual) // 2] / _LARGEST_JUMP) if len(usual) > 1 else float("inf")
    return float(max(across) / max(within)) / (_LARGEST_JUMP if len(set(within)) > 1 else 1)
