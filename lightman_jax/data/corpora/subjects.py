"""One name per subject: spellings of a name that meet, and names that a table of aliases joins."""

import dataclasses
import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lightman_jax.data.corpora.registry import CORPORA
from lightman_jax.data.records import DataError, Reading
from lightman_jax.data.tables.table import COLUMNS, read_table

# Spreadsheet programs replace typed hyphens and apostrophes by these.
_TYPED = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-") | dict.fromkeys("\u2018\u2019\u02bc\u2032`", "'")
)
# Variation selectors and joiners that are no format characters by their category.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_WHOLE_NUMBER = re.compile(r"(?<![\d.,])(\d+)[.,]0{1,2}(?![\d.,])")
_LEADING_ZEROS = re.compile(r"(?<!\d)(?<!\d[.,])0+(?=\d)")
_MAX_NAMED = 8


class Alias(NamedTuple):
    """Two names of one subject, `subject_pool/subject` or without the pool, and the place of the row for messages."""

    subject: str
    same_as: str
    where: str = "aliases"


def subject_key(text: str) -> str:
    """One text for all spellings of a subject that differ in case, blanks, leading zeros or Unicode form.

    Choice: punctuation counts, because `1_2` and `12` may be two subjects; the digits of a fraction count for the same reason.

    >>> subject_key(" ANNA"), subject_key("s007"), subject_key("7.0"), subject_key("1_02")
    ('anna', 's7', '7', '1_2')
    """
    key = unicodedata.normalize("NFD", text.translate(_TYPED))
    # One pass is not enough: the compatibility form of a letter may have a case of its own.
    for _ in range(2):
        key = unicodedata.normalize("NFKD", key.translate(_TYPED).upper().casefold())
    key = unicodedata.normalize("NFKC", key.replace("i\u0307", "i").translate(_TYPED))
    visible = [c for c in _INVISIBLE.sub("", key) if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf")]
    key = " ".join("".join(str(unicodedata.decimal(c, c)) for c in visible).split())
    return _LEADING_ZEROS.sub("", _WHOLE_NUMBER.sub(r"\1", key)) or text


def read_aliases(path: Path, report: Callable[[str], None] | None = None) -> tuple[Alias, ...]:
    """Read a table with the columns `subject, same_as`.

    Args:
      path: the table.
      report: called with each choice made in reading it, such as its encoding.

    Raises:
      DataError: the table cannot be read, or a row lacks a name.
    """
    table = read_table(path, ("subject", "same_as"), subject=COLUMNS["subject"], same_as=("sameas",)).complete()
    if report:
        for note in table.notes:
            report(note)
    aliases = [Alias(row.text("subject"), row.text("same_as"), row.where) for row in table.rows]
    for alias in aliases:
        if not (alias.subject and alias.same_as):
            raise DataError(f"{alias.where}: a subject is missing; fill both cells, or remove the row")
    return tuple(aliases)


def unify_subjects(reading: Reading, aliases: Sequence[Alias] = (), *, spellings: bool = True) -> Reading:
    """Give all clips of a subject one name; clip ids stay, and a note lists the names that were joined.

    The name with most clips is kept, of several the first.

    Args:
      reading: clips of both pools.
      aliases: names of one subject, also in different corpora.
      spellings: whether spellings with the same `subject_key` within a subject pool are one subject.

    Raises:
      DataError: an alias names no subject of the data, or several.
    """
    counts = Counter(clip.subject for clip in reading.clips)
    spelt = _by_key(counts, subject_key)
    groups, notes = (spelt if spellings else [[name] for name in counts]), []
    if several := _listed(spelt, counts):
        found = f"one subject in several spellings: {several}; --subjects=as_written keeps them apart"
        notes.append(found if spellings else f"spellings that may be one subject, kept apart as written: {several}")
    groups, more = join_aliases(groups, aliases)
    order = {name: place for place, name in enumerate(counts)}
    renamed: dict[str, str] = {}
    for group in groups:
        renamed |= dict.fromkeys(group, min(group, key=lambda name: (-counts[name], order[name])))
    kept = {subject_key(name): name for name in renamed.values()}
    if alike := _listed(_by_key(kept.values(), _letters), counts):
        text = "subjects that differ in blanks or punctuation alone are kept apart"
        more.append(f"{text}: {alike}; if they are one subject, list them in --subject_aliases")
    if not notes and not more:
        return reading
    clips = tuple(dataclasses.replace(clip, subject=renamed[clip.subject]) for clip in reading.clips)
    return dataclasses.replace(reading, clips=clips, notes=(*reading.notes, *notes, *more))


def join_aliases(groups: Sequence[list[str]], aliases: Sequence[Alias]) -> tuple[list[list[str]], list[str]]:
    """Join groups of names that aliases make one subject, over any number of steps.

    Args:
      groups: names in the data; those of a group are one subject already.
      aliases: pairs of names.

    Returns:
      The groups, and notes of what was joined and of rows for corpora without a clip in the data.

    Raises:
      DataError: an alias names no subject, or several.
    """
    names = [name for group in groups for name in group]
    group_of = {name: group for group in groups for name in group}
    unused: list[str] = []
    joined: list[str] = []
    for alias in aliases:
        pair = (alias.subject, alias.same_as)
        if absent := [one for one in pair if _is_of_other_data(one, names)]:
            unused.append(f"{alias.where} ({', '.join(absent)})")
            continue
        first, second = (_group_named(one, alias.where, names, group_of) for one in pair)
        joined.append(f"{alias.subject} = {alias.same_as}")
        if first is not second:
            both = [*first, *second]
            group_of.update((name, both) for name in both)
    notes = [f"one subject by --subject_aliases: {'; '.join(joined)}"] if joined else []
    if unused:
        text = "rows of --subject_aliases without effect, because the data have no clip of that corpus"
        notes.append(f"{text}: {'; '.join(unused)}")
    return list({id(group): group for group in group_of.values()}.values()), notes


def _letters(name: str) -> str:
    """Letters and digits of the key of a subject."""
    pool, _, own = name.partition("/")
    letters = re.sub(r"[\W_]", "", subject_key(own))
    return f"{pool}/{letters or own}"


def _by_key(names: Iterable[str], key_of: Callable[[str], str]) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key_of(name), []).append(name)
    return list(groups.values())


def _listed(groups: Iterable[Sequence[str]], counts: Mapping[str, int]) -> str:
    """The groups of several names, each name with its number of clips; empty if there are none."""
    several = [group for group in groups if len(group) > 1]
    return "; ".join(" = ".join(f"{name} ({counts[name]} clips)" for name in group) for group in several)


def _is_of_other_data(name: str, names: Sequence[str]) -> bool:
    """Whether a name has the prefix of a corpus that has no clip among the subjects `names`."""
    pool, slash, _ = name.partition("/")
    return (
        bool(slash) and pool in CORPORA and not any(one.startswith(f"{CORPORA[pool].subject_pool}/") for one in names)
    )


def _group_named(name: str, where: str, names: Sequence[str], group_of: Mapping[str, list[str]]) -> list[str]:
    """The group of the subject that an alias names: letter by letter, else by its key."""
    pool, slash, own = name.partition("/")
    if slash and pool in CORPORA:
        name = f"{CORPORA[pool].subject_pool}/{CORPORA[pool].normal_subject(own)}"
    found = [one for one in names if name in (one, one.partition("/")[2])]
    key = subject_key(name)
    found = found or [one for one in names if key in (subject_key(one), subject_key(one.partition("/")[2]))]
    groups = {id(group_of[one]): group_of[one] for one in found}
    if len(groups) == 1:
        return next(iter(groups.values()))
    if groups:
        raise DataError(f"{where}: {name!r} may be {' or '.join(found)}; write the one that is meant")
    near = difflib.get_close_matches(name, [*names, *(one.partition("/")[2] for one in names)], _MAX_NAMED, 0.5)
    listed = ", ".join(near or names[:_MAX_NAMED])
    raise DataError(f"{where}: no clip has the subject {name!r}; {'the nearest are' if near else 'there are'} {listed}")
