"""One name per subject: spellings that meet, names that stay apart, and tables of aliases."""

import itertools
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.cli.config import DataConfig
from experiments.evaluation.data import check_data
from lightman_jax.data.corpora.subjects import Alias, read_aliases, subject_key, unify_subjects
from lightman_jax.data.records import DataError, RawClip, Reading
from lightman_jax.data.vision.images import write_image

ONE_SUBJECT = [
    ("Anna", "anna", "ANNA", " Anna", "Anna\u00a0", "An\u200bna", "\ufeffanna", "\uff21\uff4e\uff4e\uff41"),
    ("007", "7", "07", "7.0", "\uff17", "\u0660\u0660\u0667", "7,0"),
    ("s01", "S1", "s1", "s001", "\uff53\uff10\uff11"),
    ("Zoë", "Zoe\u0308", "ZOË"),
    ("Straße", "STRASSE", "strasse"),
    ("İpek", "ipek", "IPEK"),
    ("Anna  Maria", "anna\u00a0maria", "Anna\tMaria"),
    ("O'Brien", "O\u2019Brien", "o\u02bcbrien"),
    ("p\u20131", "P-01"),
    ("000", "0"),
    ("小明", "小明"),
]
DIFFERENT = [
    "1_2",
    "12",
    "1.1",
    "1.10",
    "1.01",
    "1,000",
    "1000",
    "10",
    "s1",
    "p1",
    "1",
    "0",
    "anna",
    "anne",
    "a b",
    "ab",
]


@pytest.mark.parametrize("spellings", ONE_SUBJECT, ids=lambda spellings: spellings[0])
def test_spellings_of_one_subject_have_one_key(spellings):
    assert len({subject_key(text) for text in spellings}) == 1


def test_different_names_have_different_keys():
    assert len({subject_key(text) for text in DIFFERENT}) == len(DIFFERENT)


name_parts = st.lists(
    st.one_of(
        st.text(st.characters(categories=("L",)), min_size=1, max_size=6),
        st.integers(0, 999).map(str),
        st.sampled_from(["_", "-", ".a", " "]),
    ),
    min_size=1,
    max_size=5,
).filter(lambda parts: any(part.isalnum() for part in parts))


def respelt(draw, parts):
    """Another spelling of a name: zeros, case, Unicode form, blanks and invisible characters."""
    zeros = draw(st.integers(0, 3))
    after = [None, *parts]
    name = "".join(
        "0" * zeros + part if part.isdigit() and not (before or "x")[-1].isdigit() else part
        for before, part in zip(after, parts, strict=False)
    )
    name = draw(st.sampled_from([str, str.upper, str.lower, str.swapcase]))(name)
    name = unicodedata.normalize(draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])), name)
    name = name.replace(" ", draw(st.sampled_from([" ", "  ", "\u00a0", "\u2003"])))
    return (
        draw(st.sampled_from(["", " ", "\ufeff", "\u200b"]))
        + name
        + draw(st.sampled_from(["", " ", "\u00a0", "\u2060"]))
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data(), names=st.lists(name_parts, min_size=1, max_size=4))
def test_any_respelling_gives_the_same_partition(data, names):
    plain = ["".join(parts) for parts in names]
    others = [respelt(data.draw, parts) for parts in names]
    same = [[subject_key(a) == subject_key(b) for b in plain] for a in plain]
    assert [[subject_key(a) == subject_key(b) for b in others] for a in plain] == same


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.from_regex(r"[a-z]{1,3}[_-]?([1-9][0-9]{0,2})?", fullmatch=True), unique=True, max_size=8))
def test_distinct_plain_names_stay_distinct(names):
    assert len({subject_key(name) for name in names}) == len(names)
    assert all(subject_key(subject_key(name)) == subject_key(name) for name in names)


def reading(*subjects, notes=()):
    clips = tuple(
        RawClip(f"{subject}/c{row}", subject, "macro" if row % 2 else "micro", "frames", (Path(f"{row}.png"),))
        for row, subject in enumerate(subjects)
    )
    return Reading("table", Path("data"), clips, notes=notes)


def subjects(found):
    return [clip.subject.partition("/")[2] for clip in found.clips]


def test_ordinary_subjects_are_returned_as_they_are():
    plain = reading("smic/s1", "casme2/sub01", "table/1", notes=("a note",))
    assert unify_subjects(plain) is plain
    assert unify_subjects(plain, spellings=False) is plain


def test_spellings_meet_over_both_pools_and_keep_the_most_frequent_name():
    plain = reading("table/Anna", "table/anna", "table/anna", "table/007", "table/7", "smic/7")
    found = unify_subjects(plain)
    assert [clip.subject for clip in found.clips] == ["table/anna"] * 3 + ["table/007"] * 2 + ["smic/7"]
    assert [clip.clip for clip in found.clips] == [clip.clip for clip in plain.clips]
    (note,) = found.notes
    assert "table/Anna (1 clips) = table/anna (2 clips)" in note
    assert "table/007 (1 clips) = table/7 (1 clips)" in note
    assert "--subjects=as_written" in note
    apart = unify_subjects(plain, spellings=False)
    assert subjects(apart) == subjects(plain)
    assert "kept apart as written: table/Anna (1 clips) = table/anna (2 clips)" in apart.notes[0]


def test_names_that_differ_in_punctuation_stay_apart_with_a_note():
    found = unify_subjects(reading("table/sub_01", "table/sub01", "table/Sub-01"))
    assert subjects(found) == ["sub_01", "sub01", "Sub-01"]
    assert "--subject_aliases" in found.notes[0]


def test_aliases_join_subjects_of_several_corpora_in_chains_and_cycles():
    plain = reading("smic/s3", "casme2/sub07", "casme2/sub07", "samm/011", "table/Anna", "table/ben")
    rows = [("smic/S03", "casme2/7"), ("samm/11", "s3"), ("casme2/sub07", "samm/011"), ("ANNA", "anna")]
    found = unify_subjects(plain, [Alias(*row) for row in rows])
    assert [clip.subject for clip in found.clips] == ["casme2/sub07"] * 4 + ["table/Anna", "table/ben"]
    assert "smic/S03 = casme2/7" in found.notes[0]
    for order in itertools.permutations(rows):
        again = unify_subjects(plain, [Alias(*row) for row in order])
        assert [clip.subject for clip in again.clips] == [clip.subject for clip in found.clips]
    written = unify_subjects(reading("table/Anna", "table/anna"), [Alias("Anna", "anna")], spellings=False)
    assert subjects(written) == ["Anna", "Anna"]


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        (Alias("Bert", "anna", "row 2"), "row 2: no clip has the subject 'Bert'; the nearest are .*Ben"),
        (Alias("7", "anna", "row 2"), "row 2: '7' may be table/7 or smic/7"),
    ],
)
def test_aliases_that_name_no_subject_or_several_are_refused(alias, message):
    with pytest.raises(DataError, match=message):
        unify_subjects(reading("table/anna", "table/Ben", "table/7", "smic/7"), [alias])


def test_aliases_of_corpora_that_are_not_read_have_no_effect():
    found = unify_subjects(reading("smic/s3", "smic/s4"), [Alias("smic/s3", "casme2/sub07", "a.csv line 2")])
    assert [clip.subject for clip in found.clips] == ["smic/s3", "smic/s4"]
    assert "without effect" in found.notes[0]
    assert "a.csv line 2 (casme2/sub07)" in found.notes[0]


def test_tables_of_aliases_are_read_in_any_dialect(tmp_path):
    path = tmp_path / "aliases.csv"
    path.write_bytes("Subject;Same as\nsmic/s3;casme2/sub07\n007;anna\n".encode("utf-16"))
    notes = []
    assert [alias[:2] for alias in read_aliases(path, notes.append)] == [("smic/s3", "casme2/sub07"), ("007", "anna")]
    assert "read as UTF-16" in notes[0]
    path.write_text("subject,alias\nanna,ben\n")
    with pytest.raises(DataError, match="names the columns subject, same_as; found subject, alias"):
        read_aliases(path)
    path.write_text("subject,same_as\nsmic/s3,\n")
    with pytest.raises(DataError, match="line 2: a subject is missing"):
        read_aliases(path)


def test_a_check_unifies_subjects_unless_they_are_kept_as_written(tmp_path):
    rows = ["clip,subject,label,path"]
    for row, subject in enumerate(("Anna", "anna", "007", "7", "ben")):
        (tmp_path / "data" / f"c{row}").mkdir(parents=True)
        for number, image in enumerate(np.random.default_rng(row).integers(0, 255, (3, 32, 32, 3), np.uint8)):
            write_image(tmp_path / "data" / f"c{row}" / f"{number}.png", image)
        rows.append(f"c1,{subject},{'up' if row % 2 else 'down'},c{row}")
    (tmp_path / "data" / "clips.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "aliases.csv").write_text("subject,same_as\nben,7\n")

    def found(**flags):
        config = DataConfig("table", str(tmp_path / "data"), data_cache=str(tmp_path / "cache"), **flags)
        return check_data(config, lambda text: None, workers=1).reading

    unified, written = found(), found(subjects="as_written")
    assert sorted(subjects(unified)) == ["007", "007", "Anna", "Anna", "ben"]
    assert {clip.clip for clip in unified.clips} == {f"table/{s}/c1" for s in ("Anna", "anna", "007", "7", "ben")}
    assert sorted(subjects(written)) == ["007", "7", "Anna", "anna", "ben"]
    aliased = found(subjects="as_written", subject_aliases=str(tmp_path / "aliases.csv"))
    assert sorted(subjects(aliased)) == ["007", "7", "7", "Anna", "anna"]
