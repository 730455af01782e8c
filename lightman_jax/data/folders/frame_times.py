"""Times in the names of images, such as `11-26-57-900` or `1712345678.95`, and the order that they give."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from statistics import median

_UNIX = 10**9
_LIMITS = (60, 60, 24)
_RADICES = (10, 12, 15, 24, 25, 30, 48, 50, 60, 90, 100, 120, 200, 240, 300, 500, 10**3, 10**4, 10**5, 10**6, 10**9)
"""Units per second: frame rates, and powers of ten for decimals; 60 also for minutes and hours."""
_LARGEST_JUMP = 2.5
"""Largest step across a carry over those before it. Choice: one or two dropped frames; steps of equal size allow none."""
_SEPARATOR = re.compile(r"[\W_]*(?:h|m|min|s|sec|t)?[\W_]*")
_TIME_WORDS = frozenset({"at", "s", "sec", "t", "time", "timestamp", "ts"})
_LONG_CHAIN, _CLOCK, _CLEARER, _NEARLY_EVEN, _MIN_TIMES = 3, 4, 2, 2, 5


class UnorderedError(Exception):
    """Names in no order; the argument states which."""


def time_keys(
    texts: Sequence[str], columns: Sequence[Sequence[str]], varying: Sequence[int]
) -> list[int | Fraction] | None:
    """Sorting keys of names that hold a time; None if they hold none.

    A time is a chain of numbers that ends with the last one that varies. A number of ten digits or more is a time by itself (since
    1970, or a date); otherwise the steps between names must be as even across a second as within it.

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
    if seconds is None:
        return None
    if not _may_carry(texts[start], chain):
        return _decimal_keys(seconds, chain[-1]) if texts[last] == "." else None
    return _keys(seconds, chain[-1], trusted=_is_clock(chain) or min(seconds) >= _UNIX)


def _is_single_time(chain: list[list[str]], text: str) -> bool:
    """Whether the only number that varies is a time rather than a frame number."""
    numbers = sorted({int(digits) for digits in chain[-1]})
    before = chain[-2][0] if len(chain) > 1 else ""
    if numbers[-1] >= _UNIX or (before and int(before) >= _UNIX):
        return True
    if re.fullmatch(r"(19|20)\d{6}", before) and _clock_seconds(chain[-1]) is not None:
        return True
    if text == "." and before and _are_decimals([0] * len(chain[-1]), chain[-1]):
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
    is_long = len(chain) >= _LONG_CHAIN or _clock_seconds(chain[-2]) is not None
    groups: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    for *leading, digits in zip(*chain, strict=True):
        groups[tuple(leading)].add(digits)
    sets = list(groups.values())
    is_product = len(sets[0]) > 1 and all(one == sets[0] for one in sets)
    words = re.findall(r"[a-z]+", text)
    named = not words or words[-1] in _TIME_WORDS
    return not is_product and (named or is_long)


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
    ordered = sorted(set(totals))
    gap, after = max(((b - a, b) for a, b in itertools.pairwise(ordered)), default=(0, 0))
    # A clock that starts again from zero.
    restarts = 2 * gap > scale > ordered[-1]
    return [total + scale * (restarts and total < after) for total in totals]


def _clock_seconds(column: Sequence[str]) -> list[int] | None:
    """Seconds of numbers `HHMMSS`; None if one is none."""
    parts = [re.fullmatch(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)", digits) for digits in column]
    found = [3600 * int(part[1]) + 60 * int(part[2]) + int(part[3]) for part in parts if part]
    return found if len(found) == len(parts) else None


def _keys(seconds: list[int], digits: Sequence[str], *, trusted: bool) -> list[int | Fraction] | None:
    """Times from whole seconds and the number after them; None if their steps are uneven, unless they are trusted."""
    if _are_decimals(seconds, digits):
        times: list[int | Fraction] = _decimal_times(seconds, digits)
        return times if trusted or _is_even(seconds, times) else None
    if trusted or any(_is_even(seconds, times) for times in _count_times(seconds, digits)):
        radix = max(map(int, digits)) + 1
        return [second * radix + int(one) for second, one in zip(seconds, digits, strict=True)]
    return None


def _are_decimals(seconds: list[int], digits: Sequence[str]) -> bool:
    """Whether digits are decimals of a second, not a count; False if the order is the same."""
    longer = [one for one in digits if len(one) > 1]
    is_ordered = len(set(seconds)) == len(set(zip(seconds, digits, strict=True)))
    if is_ordered or len(set(map(len, digits))) == 1 or any(one.endswith("0") for one in longer):
        return False
    if any(one.startswith("0") for one in longer):
        return True
    as_decimals = _unevenness_within(seconds, _decimal_times([0] * len(digits), digits))
    as_counts = _unevenness_within(seconds, list(map(int, digits)))
    better, worse = sorted([as_decimals, as_counts])
    if better > _NEARLY_EVEN or worse < _CLEARER * better or len(set(zip(seconds, digits, strict=True))) < _MIN_TIMES:
        pair = f"{min(digits, key=len)} and {max(digits, key=len)}"
        raise UnorderedError(f"times that end in {pair}, which may be decimals or counts")
    return as_decimals < as_counts


def _decimal_times(seconds: list[int], digits: Sequence[str]) -> list[int | Fraction]:
    return [second + Fraction(int(one), 10 ** len(one)) for second, one in zip(seconds, digits, strict=True)]


def _decimal_keys(seconds: list[int], digits: Sequence[str]) -> list[int | Fraction] | None:
    """Times with decimals of one length; None if they have others, their steps are uneven, or 1 as those of a count."""
    lengths = set(map(len, digits))
    if len(lengths) > 1 or lengths == {1}:
        return None
    times = _decimal_times(seconds, digits)
    step = min((later - sooner for sooner, later in itertools.pairwise(sorted(set(times)))), default=0)
    return times if step > Fraction(1, 10 ** min(lengths)) and _is_even(seconds, times) else None


def _count_times(seconds: list[int], digits: Sequence[str]) -> Iterator[list[int | Fraction]]:
    counts = [int(one) for one in digits]
    for radix in _RADICES:
        if radix > max(counts):
            yield [second * radix + count for second, count in zip(seconds, counts, strict=True)]


def _unevenness(steps: list[int | Fraction]) -> float:
    """Largest step over the smallest step."""
    return float(max(steps) / min(steps)) if steps else 1.0


def _unevenness_within(seconds: list[int], parts: Sequence[int | Fraction]) -> float:
    """Unevenness of the steps within seconds."""
    order = sorted(set(zip(seconds, parts, strict=True)))
    return _unevenness([b[1] - a[1] for a, b in itertools.pairwise(order) if a[0] == b[0]])


def _is_even(seconds: list[int], times: Sequence[int | Fraction]) -> bool:
    """Whether the steps across a second are as large as those within one."""
    order = sorted(set(zip(times, seconds, strict=True)))
    steps = [(b[0] - a[0], a[1] == b[1]) for a, b in itertools.pairwise(order)]
    within, across = [step for step, same in steps if same], [step for step, same in steps if not same]
    if not within or not across:
        return _unevenness([step for step, _ in steps]) <= _LARGEST_JUMP
    return max(across) <= max(within) * (_LARGEST_JUMP if len(set(within)) > 1 else 1)
