"""The order and the frame numbers of the images of one folder, worked out from all names at once.

The frame number is the number that varies between the names; several varying numbers may be a time. What the names do not show is
refused with two of them as evidence.
"""

import bisect
import filecmp
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from lightman_jax.data.folders.frame_times import UnorderedError, time_keys

_WORDS = ("onset", "apex", "offset")
_COLOUR = frozenset({"color", "colour", "rgb"})
_DERIVED = re.compile(
    "ann|annotat(ed|ions?)|bbox|boxes|confidence|debug|depth|disparity|drawn|edges|flow|gt|heatmap|labels?|landmarks?|masks?|mesh|"
    "normals|overlay|pose|preview|seg|segmentation|skeleton|strain|thumb|thumbnail"
)
_LABEL = re.compile(r"(.*[^a-z])?(f|fr|frame|frm|idx|image|img|index|nr|number)[\W_]*")
_MAJORITY, _PAIR, _SHOWN = 3, 2, 3


class Choice(NamedTuple):
    """A rule that decided an order, and names to which it was applied."""

    rule: str
    example: str


class Frames(NamedTuple):
    """Images of a folder in time order.

    Attributes:
      paths: the images.
      numbers: frame number of each, increasing.
      choices: what the names left open, and how it was decided.
      refusal: why there are no paths, as `expected, found, remedy` of a `Problem`; None for an empty folder.
    """

    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    choices: tuple[Choice, ...] = ()
    refusal: tuple[str, str, str] | None = None

    def at(self, number: int) -> int:
        """Position of a frame number, or of the last image before it if that frame was dropped."""
        return max(0, bisect.bisect_right(self.numbers, number) - 1)


class _Name(NamedTuple):
    """An image, the texts of its name between numbers (one more than numbers), and the numbers as written."""

    path: Path
    texts: tuple[str, ...]
    numbers: tuple[str, ...]


class _Stream(NamedTuple):
    """Names that differ in numbers only, in order, and their frame numbers."""

    names: list[_Name]
    numbers: list[int]


def order_frames(paths: Sequence[Path]) -> Frames:
    """Order the images of one folder.

    Names that differ in one number have it as frame number; so do names that also hold an attribute, such as a size. Names that
    hold a time are ordered by it and numbered from 1. Byte-identical copies, and images that belong to other images (depth, masks),
    are left out.
    """
    choices: list[Choice] = []
    if not paths:
        return Frames((), ())
    try:
        names = _without_copies([_split(path) for path in paths], choices)
        stream = _hexadecimal(names, choices) or _stream_of_folder(names, choices)
    except UnorderedError as error:
        remedy = "keep one image per frame in the folder, numbered in order of time; the clip is left out"
        return Frames((), (), (), ("images whose names show their order", str(error), remedy))
    return Frames(tuple(name.path for name in stream.names), tuple(stream.numbers), tuple(choices))


def _split(path: Path) -> _Name:
    stem = unicodedata.normalize("NFKC", path.stem).lower()
    # Seconds since 1970 without decimals next to others with them.
    stem = re.sub(r"(?<![\d.])([1-9]\d{9})(?!\d|[._-]\d)", r"\1.0", stem)
    parts = re.split(r"(\d+)", stem)
    return _Name(path, tuple(parts[::2]), tuple(parts[1::2]))


def _without_copies(names: list[_Name], choices: list[Choice]) -> list[_Name]:
    """Names without byte-identical copies, whose names add a text to that of the original."""
    if len({name.texts for name in names}) < 2:
        return names
    by_stem = {(name.path.stem.lower(), name.path.suffix.lower()): name for name in names}
    lengths = {len(stem) for stem, _ in by_stem}

    def is_copy(name: _Name) -> bool:
        stem, suffix = name.path.stem.lower(), name.path.suffix.lower()
        parts = [part for length in lengths if length < len(stem) for part in (stem[:length], stem[-length:])]
        others = (by_stem[part, suffix] for part in parts if (part, suffix) in by_stem)
        return any(o.texts != name.texts and _same_content(name, o) for o in others)

    copies = dict.fromkeys(name for name in names if is_copy(name))
    if copies:
        choices.append(Choice("copies of other images, byte for byte, are left out", _listed(list(copies))))
    return [name for name in names if name not in copies]


def _hexadecimal(names: list[_Name], choices: list[Choice]) -> _Stream | None:
    """Names that end in hexadecimal numbers without gaps, from digits to letters, such as `09` and `0a`; None if they do not."""
    stems = [name.path.stem.lower() for name in names]
    start = sum(1 for _ in itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False)))
    ends = [stem[start:] for stem in stems]
    lasts = "".join(end[-1:] for end in ends)
    if lasts.isdigit() or lasts.isalpha() or not all(re.fullmatch("[0-9a-f]+", end, re.ASCII) for end in ends):
        return None
    pairs = sorted((int(end, 16), name) for end, name in zip(ends, names, strict=True))
    stream = _Stream([name for _, name in pairs], [number for number, _ in pairs])
    if len(names) <= _PAIR or stream.numbers != list(range(pairs[0][0], pairs[0][0] + len(pairs))):
        return None
    choices.append(Choice("names that end in hexadecimal numbers are ordered by them", _listed(stream.names)))
    return stream


def _stream_of_folder(names: list[_Name], choices: list[Choice]) -> _Stream:
    """The images of the movement among all images of a folder."""
    groups: defaultdict[tuple[str, ...], list[_Name]] = defaultdict(list)
    for name in names:
        groups[name.texts].append(name)
    wordy = [group for texts, group in groups.items() if len(texts) == 1]
    numbered = [group for texts, group in groups.items() if len(texts) > 1]
    if not numbered:
        return _ordered_words(wordy, choices)
    numbered = _without_derived(numbered, choices)
    streams = [_ordered(group, choices) for group in numbered]
    stream = streams[0] if len(streams) == 1 else _joined(streams, choices)
    prefix = _letters(stream.names[0])
    for group in wordy:
        if _letters(group[0]) == prefix and len(group) == 1:
            # `img.png` before `img (1).png`, as file managers number names.
            choices.append(Choice("the image without a number is the first", _listed([*group, stream.names[0]])))
            stream = _Stream([*group, *stream.names], [stream.numbers[0] - 1, *stream.numbers])
        else:
            if len(stream.names) <= _PAIR:
                raise UnorderedError(f"names with and without a number, such as {_listed([stream.names[0], group[0]])}")
            choices.append(Choice("images without a number are left out next to numbered ones", _listed(group)))
    return stream


def _ordered_words(groups: list[list[_Name]], choices: list[Choice]) -> _Stream:
    """Images without numbers: one, or an onset, an apex and an offset."""
    singles = [_one_of_each(group, [0] * len(group), choices).names[0] for group in groups]
    places = [_word_place(name.texts[0]) for name in singles]
    if len(singles) == 1:
        return _Stream(singles, [1])
    if -1 in places or len(set(places)) < len(places):
        raise UnorderedError(f"{len(singles)} names without a number, such as {_listed(singles)}")
    return _by_words(singles, places, choices)


def _by_words(names: list[_Name], places: list[int], choices: list[Choice]) -> _Stream:
    ordered = [name for _, name in sorted(zip(places, names, strict=True))]
    choices.append(Choice("names that differ in a word are ordered onset, apex, offset", _listed(ordered)))
    return _Stream(ordered, list(range(1, len(ordered) + 1)))


def _word_place(text: str) -> int:
    found = [word for word in re.split(r"[\W_]+", text) if word in _WORDS]
    return _WORDS.index(found[0]) if len(found) == 1 else -1


def _without_derived(groups: list[list[_Name]], choices: list[Choice]) -> list[list[_Name]]:
    """Groups without those whose names mark them as made from the others, such as depth or masks; all if no other is left."""
    words = [set(re.findall(r"[a-z]+", " ".join(group[0].texts))) for group in groups]
    kept = [index for index, own in enumerate(words) if not any(map(_DERIVED.fullmatch, own))]
    coloured = [index for index in kept if words[index] & _COLOUR]
    if len(coloured) == 1 < len(kept):
        kept = coloured
    if not kept or len(kept) == len(groups):
        return groups
    left_out = [group[0] for index, group in enumerate(groups) if index not in kept]
    rule = "of several kinds of images, those that the names mark as another kind are left out"
    choices.append(Choice(rule, f"{_listed(left_out)}; used: {groups[kept[0]][0].path.name}"))
    return [groups[index] for index in kept]


def _joined(streams: list[_Stream], choices: list[Choice]) -> _Stream:
    """Streams whose numbers continue each other, or the one that holds most of the images."""
    streams = sorted(streams, key=lambda stream: -len(stream.names))
    main, rest = streams[0], streams[1:]
    pairs = sorted(
        (number, name) for stream in _signed(streams) for number, name in zip(stream.numbers, stream.names, strict=True)
    )
    numbers = [number for number, _ in pairs]
    places = [_word_place(" ".join(name.texts)) for _, name in pairs]
    if len(set(numbers)) == 1 and sorted(places) == sorted(set(places) - {-1}):
        return _by_words([name for _, name in pairs], places, choices)
    follows = len(set(numbers)) == len(numbers) and not any(_extends(stream, main) for stream in rest)
    is_dense = numbers[-1] - numbers[0] == len(numbers) - 1
    if follows and (is_dense or (numbers[0] < 0 and 0 in numbers) or places == sorted(set(places) - {-1})):
        choices.append(Choice("differently spelled names are ordered by their numbers", _listed([n for _, n in pairs])))
        return _Stream([name for _, name in pairs], numbers)
    others = [name for stream in rest for name in stream.names]
    if len(main.names) >= _MAJORITY * len(others) and numbers[0] >= 0:
        rule = "names that differ from those of most images are left out"
        choices.append(Choice(rule, f"{_listed(others)}; used: {main.names[0].path.name}"))
        return main
    same = set(main.numbers) & set(rest[0].numbers)
    number = min(same) if same else main.numbers[0]
    pair = [main.names[main.numbers.index(number)], rest[0].names[rest[0].numbers.index(number) if same else 0]]
    raise UnorderedError(f"several kinds of names, such as {' and '.join(name.path.name for name in pair)}")


def _signed(streams: list[_Stream]) -> list[_Stream]:
    """Two streams that differ in a minus before a number, with the numbers after it negative: `t-1` precedes `t0`."""
    if len(streams) == _PAIR:
        plain, minus = sorted(streams, key=lambda stream: "".join(stream.names[0].texts).count("-"))
        texts = minus.names[0].texts
        without = [(*texts[:at], text[:-1], *texts[at + 1 :]) for at, text in enumerate(texts[:-1]) if text[-1:] == "-"]
        if tuple(text.removesuffix("+") for text in plain.names[0].texts) in without:
            return [plain, minus._replace(numbers=[-abs(number) for number in minus.numbers])]
    return streams


def _extends(stream: _Stream, main: _Stream) -> bool:
    """Whether the names of a stream add a text with a number to those of another, as copies do."""
    stems = {name.path.stem.lower() for name in main.names}
    return any(name.path.stem.lower().startswith(tuple(stems)) for name in stream.names)


def _ordered(names: list[_Name], choices: list[Choice]) -> _Stream:
    """Names that differ in numbers only, by the number that counts the frames, or by time."""
    columns = list(zip(*(name.numbers for name in names), strict=True))
    values = [[int(text) for text in column] for column in columns]
    varying = [index for index, column in enumerate(values) if len(set(column)) > 1]
    texts = names[0].texts
    if not varying:
        sizes = {index for index in range(len(columns)) if "x" in (texts[index], texts[index + 1])}
        last = max(set(range(len(columns))) - sizes, default=len(columns) - 1)
        return _one_of_each(names, values[last], choices)
    keys = time_keys(texts, columns, varying)
    if len(varying) == 1 and keys is None:
        sign = -1 if texts[varying[0]].endswith("_-") else 1
        stream = _one_of_each(names, [sign * value for value in values[varying[0]]], choices)
        if sign < 0 or varying[0] < len(columns) - 1:
            rule = "numbers after _- are negative" if sign < 0 else "the number that varies is the frame number"
            choices.append(Choice(rule, _listed(stream.names)))
        return stream
    return _ordered_by_several(names, values, varying, keys, choices)


def _ordered_by_several(
    names: list[_Name],
    values: list[list[int]],
    varying: list[int],
    keys: Sequence[int | Fraction] | None,
    choices: list[Choice],
) -> _Stream:
    """Names in which a time, or more than one number, varies."""
    rows = list(zip(*(values[index] for index in varying), strict=True))
    unique = len(set(rows))
    distinct = [index for index in varying if len(set(values[index])) == unique]
    order = sorted(range(len(names)), key=(keys or rows).__getitem__)
    rising = [index for index in distinct if sorted(order, key=values[index].__getitem__) == order]
    dense = [index for index in distinct if max(values[index]) - min(values[index]) == unique - 1]
    labelled = [index for index in distinct if _LABEL.fullmatch(names[0].texts[index])]
    # Parts of a second start again with each second; a count does not.
    is_count = len(rising) > 1 or (keys is not None and len(varying) > 1 and rising == varying[-1:])
    if len(varying) > 1 and len(labelled) == 1 and (unique > _PAIR or labelled[0] in dense):
        counter = labelled[0]
    elif len(varying) > 1 and unique > _PAIR and dense and set(dense) <= set(rising):
        counter = dense[-1]
    elif is_count and rising == distinct and unique > _PAIR:
        # A count has smaller steps than a time.
        counter = min(reversed(rising), key=lambda index: max(values[index]) - min(values[index]))
    elif keys is not None:
        stream = _one_of_each(names, keys, choices)
        rule = "names that hold a time are ordered by it, and their frames are numbered from 1"
        choices.append(Choice(rule, _listed(stream.names)))
        return stream._replace(numbers=list(range(1, len(stream.names) + 1)))
    elif len(dense) == 1:
        counter = dense[0]
    elif ends := [
        index for index in (varying[-1], varying[0]) if index in distinct and _agrees(index, varying, values)
    ]:
        counter = ends[0]
    else:
        # Two of one last number, if there are any.
        by_last = sorted(order, key=values[varying[-1]].__getitem__)
        pairs = list(itertools.pairwise(by_last))
        last = values[varying[-1]]
        pair = next((pair for pair in pairs if last[pair[0]] == last[pair[1]]), pairs[0])
        shown = " and ".join(names[index].path.name for index in pair)
        raise UnorderedError(f"several numbers that vary and are no time, such as {shown}")
    stream = _one_of_each(names, values[counter], choices)
    rule = f"of {len(varying)} numbers that vary, number {varying.index(counter) + 1} is the frame number"
    choices.append(Choice(rule, _listed(stream.names)))
    return stream


def _agrees(counter: int, varying: list[int], values: list[list[int]]) -> bool:
    """Whether several other numbers that vary, such as a time, rise with one."""
    others = [values[index] for index in varying if index != counter]
    rows = [row for _, *row in sorted(zip(values[counter], *others, strict=True))]
    return len(others) > 1 and rows == sorted(rows)


def _one_of_each(names: list[_Name], keys: Sequence[int | Fraction], choices: list[Choice]) -> _Stream:
    """One image for each key, in order; the others must be the same image, or the same name in another format."""
    groups: defaultdict[int | Fraction, list[_Name]] = defaultdict(list)
    for name, key in sorted(zip(names, keys, strict=True), key=lambda pair: (pair[1], pair[0].path.name)):
        groups[key].append(name)
    suffixes = Counter(name.path.suffix.lower() for name in names)
    chosen, left_out = [], []
    for group in groups.values():
        first, *others = sorted(group, key=lambda name: -suffixes[name.path.suffix.lower()])
        for other in others:
            if other.path.suffix.lower() == first.path.suffix.lower() and not _same_content(first, other):
                raise UnorderedError(f"two images of one frame, {first.path.name} and {other.path.name}")
        chosen.append(first)
        left_out += others
    if left_out:
        rule = "of images of one frame in several formats or spellings, one is used"
        choices.append(Choice(rule, f"{_listed(left_out)}; used: {chosen[0].path.name}"))
    return _Stream(chosen, [int(key) for key in groups])


def _same_content(one: _Name, other: _Name) -> bool:
    try:
        return filecmp.cmp(one.path, other.path, shallow=False)
    except OSError:
        return False


def _letters(name: _Name) -> str:
    return re.sub(r"[\W_]+", "", "".join(name.texts))


def _listed(names: Sequence[_Name]) -> str:
    shown = ", ".join(name.path.name for name in names[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")
