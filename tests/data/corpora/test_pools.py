"""Micro and macro rows of one table, in every spelling of the two."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.base import parse_pool
from tests.data.corpora.by_hand import CASME2, CASME3, MMEW, SAMM, images, read, spans, table

SPELLINGS = {
    "micro": (
        "micro",
        "Micro-expression",
        "Micro - 1/2",
        "micro expression",
        "ME",
        "MiE",
        "micro-expressions",
        "Micro 1",
        "mikro",
    ),
    "macro": ("macro", "Macro-expression", "macro_expression", "MaE", "Macroexpression", "macro expressions", "Makro"),
}


@settings(max_examples=50, deadline=None)
@given(
    pool_and_text=st.sampled_from([(pool, text) for pool, texts in SPELLINGS.items() for text in texts]),
    case=st.sampled_from([str, str.lower, str.upper, str.title]),
    blanks=st.tuples(*[st.sampled_from(["", " ", "\t", "\u00a0", "\u3000"])] * 2),
)
def test_spellings_of_a_pool(pool_and_text, case, blanks):
    pool, text = pool_and_text
    assert parse_pool(blanks[0] + case(text) + blanks[1]) == pool


@given(text=st.text(max_size=12).filter(lambda text: not text.strip().lower().startswith(("m", "\uff4d", "\uff2d"))))
def test_other_texts_name_no_pool(text):
    assert parse_pool(text) is None or not text.isascii()


def test_casme3_expression_type_tells_macro_rows(tmp_path):
    for clip, numbers in (("spNo.1_a_355", range(355, 371)), ("spNo.9_d_12", range(12, 40))):
        images(tmp_path / "Part_A_ME_clip" / "frame" / clip, "{}.jpg", numbers)
        images(tmp_path / "Part_A_ME_clip" / "depth" / clip, "{}.png", numbers)
    rows = [
        [*CASME3, "Expression type"],
        ["spNO.1", "a", "355", "361", "370", "4", "4", "disgust", "Micro-expression"],
        ["spNO.1", "a", "500", "520", "560", "4", "4", "disgust", "Macro-expression"],
        ["spNO.9", "d", "12", "20", "39", "4", "4", "disgust", " macro-Expression"],
    ]
    table(tmp_path / "CAS(ME)3_part_A_v2.xls", {"label": rows})
    reading = read("casme3", tmp_path)
    assert spans(reading) == {
        ("micro", "casme3/spno.1/a_355"): (355, 361, 370),
        ("macro", "casme3/spno.9/d_12"): (12, 20, 39),
    }
    assert {path.parent.parent.name for clip in reading.clips for path in clip.paths} == {"frame"}
    assert "1 macro rows of the table have no images in this release" in reading.notes


def test_a_macro_row_of_two_tables_is_read_once(tmp_path):
    images(tmp_path / "part_A" / "spNo.1" / "a" / "color", "{}.jpg", range(1, 600))
    row = ["spNO.1", "a", "500", "520", "560", "4", "4", "surprise", "Macro-expression"]
    table(tmp_path / "CAS(ME)3_part_A_v2.xls", [[*CASME3, "Expression type"], row])
    rows = [["sub", "seq", "onset", "apex", "offset", "emotion"], ["spNO.1", "a", 500, 520, 560, "surprise"]]
    table(tmp_path / "cas(me)3_part_A_MaE_label_JpgIndex_v2_emotion.xlsx", rows)
    reading = read("casme3", tmp_path)
    assert [(clip.pool, clip.action_units) for clip in reading.clips] == [("macro", (4,))]
    assert any(note.endswith("are those of CAS(ME)3_part_A_v2.xls, read once") for note in reading.notes)


def test_samm_reads_its_column_micro(tmp_path):
    numbers = [100, 110, 130, 31]
    for clip in ("006_1_2", "006_1_3"):
        images(tmp_path / "SAMM" / "6" / clip, "006_{:05d}.jpg", range(100, 131))
    rows = [[f"note {n}"] for n in range(13)] + [SAMM]
    rows += [
        ["006", clip, "6_1", *numbers, kind, "12", "Happiness", 1, ""]
        for clip, kind in (("006_1_2", "Micro - 1/2"), ("006_1_3", "MACRO"), ("006_1_9", "MaE"), ("006_1_8", "tiny"))
    ]
    table(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": rows})
    reading = read_corpus("samm", tmp_path)
    assert set(spans(reading)) == {("micro", "samm/006/006_1_2"), ("macro", "samm/006/006_1_3")}
    assert [problem.found for problem in reading.problems if problem.lost] == ["'tiny'"]
    assert "1 macro rows of the table have no images in this release" in reading.notes


def test_mmew_macro_rows_do_not_repeat_the_stills(tmp_path):
    images(tmp_path / "Micro_Expression" / "happiness" / "S03-01-002", "{}.jpg", range(1, 11))
    images(tmp_path / "Macro_Expression" / "S03" / "happiness", "S03-01-{:03d}.jpg", [1])
    rows = [
        [*MMEW, "Type"],
        ["S03", "S03-01-002", 1, 5, 10, "12", "happiness", "", "ME"],
        ["S03", "S03-01-001", 1, 5, 10, "12", "happiness", "", "macro"],
    ]
    table(tmp_path / "MMEW_Micro_Exp.xlsx", rows)
    found = spans(read("mmew", tmp_path))
    assert set(found) == {("micro", "mmew/S03/S03-01-002"), ("macro", "mmew/S03/S03-01-001")}


def test_a_column_type_of_other_content_is_not_read(tmp_path):
    images(tmp_path / "sub01" / "EP02_01f", "img{}.jpg", range(1, 90))
    rows = [[*CASME2, "Type"], [1, "EP02_01f", "", 46, 59, 86, "", "12", "happiness", "cropped"]]
    table(tmp_path / "CASME2-coding.xlsx", rows)
    reading = read("casme2", tmp_path)
    assert set(spans(reading)) == {("micro", "casme2/sub01/EP02_01f")}
    assert "the column Type names neither micro nor macro; it is not read" in reading.notes


@pytest.mark.parametrize("column", ["pool", "Expression type"])
def test_own_tables_take_every_spelling(tmp_path, column):
    lines = [f"clip,subject,label,path,{column}"]
    for index, (pool, texts) in enumerate(SPELLINGS.items()):
        images(tmp_path / pool, "{}.png", range(1, 5))
        lines += [f"{pool}{index}{number},p,happy,{pool},{text}" for number, text in enumerate(texts)]
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    reading = read("table", tmp_path)
    assert all(clip.clip.startswith(f"table/p/{clip.pool}") for clip in reading.clips)
    assert len(reading.clips) == sum(map(len, SPELLINGS.values()))


@pytest.mark.parametrize(
    ("column", "texts", "pools"),
    [
        ("Type", ("micro", "Macro"), ["micro", "macro"]),
        ("Type", ("posed", "spontaneous"), ["micro", "micro"]),
        ("micro or macro", ("ME", "MaE"), ["micro", "macro"]),
    ],
)
def test_an_own_table_with_a_column_of_pools_under_another_name(tmp_path, column, texts, pools):
    rows = [["clip", "subject", "label", "path", column]]
    for place, text in enumerate(texts):
        images(tmp_path / f"c{place}", "{}.jpg", range(1, 4))
        rows.append([f"c{place}", "anna", "joy", f"c{place}", text])
    table(tmp_path / "clips.xlsx", rows)
    reading = read("table", tmp_path)
    assert [clip.pool for clip in reading.clips] == pools
    assert any("names neither micro nor macro" in note for note in reading.notes) == ("posed" in texts)
