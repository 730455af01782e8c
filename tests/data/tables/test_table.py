"""Tables of other systems: encodings, delimiters, marks of missing values, numbers, and cells that a spreadsheet has changed."""

import csv
import datetime
import io
import zipfile

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightman_jax.data.records import DataError
from lightman_jax.data.tables.cells import MISSING, cell_text, is_missing, whole_number
from lightman_jax.data.tables.table import Row, column_key, read_table
from lightman_jax.data.tables.text_tables import decode, read_text_table

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER = ["clip", "subject", "emotion", "onset", "path"]
NAMES = {
    "cp1252": (
        "Jürgen",
        "Müller",
        "Renée",
        "Åsa",
        "fröhlich",
        "überrascht",
        "Señor",
        "O\N{RIGHT SINGLE QUOTATION MARK}Brien",
        "Größe",
    ),
    "gb18030": ("张伟", "李娜", "王芳", "高兴", "惊讶", "厌恶"),
    "cp932": ("田中", "さくら", "スズキ", "喜び", "驚き"),
    "euc_jp": ("田中", "さくら", "スズキ", "喜び", "驚き"),
    "cp850": ("Jürgen", "Müller", "Renée", "fröhlich"),
    "iso8859_2": ("Łukasz", "Wałęsa", "wściekłość"),
    "cp1250": ("Łukasz", "Wałęsa", "wściekłość"),
    "cp1254": ("Ayşe", "Çağlar", "öfke", "iğrenme"),
    "big5": ("張偉", "陳大文", "高興", "驚訝"),
    "cp949": ("김철수", "이영희", "기쁨", "놀람"),
    "cp1251": ("Иван", "Мария", "радость", "удивление"),
    "koi8_r": ("Иван", "Мария", "радость", "удивление"),
    "cp1253": ("Γιώργος", "Μαρία", "χαρά", "έκπληξη"),
    "cp1255": ("דוד", "שרה", "שמחה", "הפתעה"),
    "cp1256": ("محمد", "فاطمة", "فرح", "مفاجأة"),
    "cp874": ("สมชาย", "สมหญิง", "ดีใจ", "ตกใจ"),
    "mac_roman": ("Jürgen", "Müller", "Renée", "fröhlich"),
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


def text_of(names, delimiter=",", end="\r\n"):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(HEADER)
    writer.writerows([f"c{number}", name, names[-1], number, f"images/{number}"] for number, name in enumerate(names))
    return out.getvalue()


def write(path, *rows, header=HEADER):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(row)
    book.save(path)
    return book


@QUICK
@given(encoding=st.sampled_from([*NAMES]), data=st.data())
def test_text_of_any_system_is_read_and_its_encoding_named(encoding, data):
    # Encodings of one alphabet differ only where enough of its letters are there.
    names = data.draw(st.permutations(NAMES[encoding]))
    text = text_of(names)
    found, title = decode(text.encode(encoding))
    assert found == text
    assert title


@QUICK
@given(encoding=st.sampled_from(UNICODE), names=st.lists(st.sampled_from(sum(NAMES.values(), ())), min_size=1))
def test_unicode_text_is_read_with_and_without_a_byte_order_mark(encoding, names):
    text = text_of(names)
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize(
    "names",
    [
        *(
            ("anna", "Müller"),
            ("ÜBER", "Ärger"),
            ("“anna”", "Größe"),
            ("É", "ü"),
            ("20°", "5 \N{EN DASH} 6"),
            ("5 µm", "±3"),
        ),
        *(
            ("Hélène", "Ángel", "María"),
            ("Søren", "Ángel"),
            ("Simões", "José"),
            ("Guðrún", "gleði"),
            ("«joie»", "Žižek"),
        ),
    ],
)
def test_few_western_letters_are_windows_1252(names):
    assert decode(text_of(names).encode("cp1252"))[1].startswith("Windows-1252")


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp1250", ("Dvořák", "štěstí", "Růžena")),
        ("iso8859_2", ("Dvořák", "štěstí", "Růžena")),
        ("cp1250", ("Erdős", "meglepődés", "Szűcs")),
        ("cp1254", ("iğrenme", "neşe")),
    ],
)
def test_letters_of_one_language_are_evidence_for_its_encoding(encoding, names):
    assert decode(text_of(names).encode(encoding))[0] == text_of(names)


@pytest.mark.parametrize(
    "text",
    [
        '"clip" "subject" "emotion"\n"1" "k1" "anna b" "joy"\n"2" "k2" "anna b" "fear"\n',
        "clip,subject,emotion\n1,k1,anna b,joy\n7,k2,anna b,fear\n",
        "clip,subject,emotion\n\nk1,anna b,joy,\nk2,anna b,fear,\n",
        '"clip", "subject", "emotion"\n"k1", "anna b", "joy"\n"k2", "anna b", "fear"\n',
        'clip   subject   emotion\nk1   "anna b"  joy\nk2   "anna b"  fear\n',
    ],
)
def test_row_numbers_and_blanks_of_other_programs_are_no_cells(tmp_path, text):
    path = tmp_path / "clips.txt"
    path.write_text(text)
    table = read_table(path, ("clip", "subject", "emotion"))
    assert [tuple(map(row.text, table.columns)) for row in table.rows] == [
        ("k1", "anna b", "joy"),
        ("k2", "anna b", "fear"),
    ]
    assert len(table.notes) == ("1,k1" in text.replace('"', "").replace(" ", ","))
    assert not table.problems


def test_damaged_text_is_refused_with_its_line():
    good = text_of(["Müller", "Jürgen", "Zoë"]).encode()
    with pytest.raises(DataError, match=r"damaged letters in line 5"):
        decode(good + b"c9,\xfc,x,1,y\n")
    with pytest.raises(DataError, match="damaged UTF-16 text"):
        decode(text_of(["anna"]).encode("utf-16") + b"\x00")
    with pytest.raises(DataError, match="quotation mark without a partner, the last in line 3"):
        read_text_table(b'clip,subject\n1,a\n2,"b\n3,c\n')


@QUICK
@given(delimiter=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n", "\r"]), notes=st.booleans())
def test_delimiter_follows_from_several_lines(delimiter, end, notes):
    rows = [["clip", "note", "onset"], ["a,b", "x;y", "1,5"], ["c|d", "two\nlines", "2,5"], ["e", 'say "f"', "3,5"]]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    text = ("a note, with commas" + end if notes else "") + out.getvalue()
    found, _ = read_text_table(text.encode())
    assert found[notes and 1 :] == rows


def test_first_line_of_a_spreadsheet_program_names_the_delimiter():
    assert read_text_table(b"sep=;\r\na,b;c\r\n1,2;3\r\n")[0] == [[], ["a,b", "c"], ["1,2", "3"]]


@QUICK
@given(mark=st.sampled_from(sorted(MISSING)), before=st.text(" \t\xa0\u200b\ufeff", max_size=3), upper=st.booleans())
def test_marks_of_a_missing_value_are_missing(mark, before, upper):
    cell = before + (mark.upper() if upper else mark) + before
    assert is_missing(cell)
    assert whole_number(cell) is None
    assert Row("", {"emotion": cell}).text("emotion") == ""


@pytest.mark.parametrize("cell", ["--", "\N{EM DASH}", "\N{FULLWIDTH QUESTION MARK}", float("nan"), None])
def test_dashes_and_not_a_number_are_missing(cell):
    assert Row("", {"subject": cell}).text("subject") == ""


@pytest.mark.parametrize("cell", ["0", "no", "nana", "Nathan", "none of these", "1-2", 0.0, False])
def test_other_values_are_not_missing(cell):
    assert Row("", {"emotion": cell}).text("emotion")


@QUICK
@given(number=st.integers(-9_999_999, 9_999_999))
def test_whole_numbers_in_every_notation(number):
    full_width = str(number).translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    for cell in (number, float(number), f" {number}\xa0", f"{number}.0", f"{number},0", f"'{number}", full_width):
        assert whole_number(cell) == number
    assert whole_number(str(number).replace("-", "\N{MINUS SIGN}")) == number


@pytest.mark.parametrize("cell", ["1,000", "1.000", "1 000", "1'000", "12\xa0000", "-1,000,000"])
def test_a_mark_before_three_digits_is_not_guessed(cell):
    with pytest.raises(ValueError, match="may count thousands or decimals"):
        whole_number(cell)


@pytest.mark.parametrize(
    "cell", ["6.5", "6,5", 6.5, "1e3", "1_000", "0x10", "5%", "6,", "1²", "inf", "10000001", "x", True, "1/2", "#REF!"]
)
def test_anything_else_is_no_whole_number(cell):
    with pytest.raises(ValueError, match="not a"):
        whole_number(cell)


def test_cells_lose_outer_blanks_and_headers_their_form():
    assert [cell_text(cell) for cell in ("\ufeffanna\u200b", " \xa0b ", 7.0, 7)] == ["anna", "b", "7", "7"]
    assert [
        column_key(name) for name in ("\ufeffOnset\nFrame", "onset\xa0frame", "\uff2f\uff4e\uff53\uff45\uff54 Frame")
    ] == ["onsetframe"] * 3


def test_cells_that_a_spreadsheet_has_changed_are_reported(tmp_path):
    path = tmp_path / "coding.xlsx"
    good = ["c", "anna", "joy", 1, "images"]
    changed = [
        (0, datetime.date(2026, 1, 2)),
        (1, datetime.time(1, 2)),
        (2, "=A1"),
        (3, "=1+2"),
        (0, 1234567890123456789),
    ]
    rows = [[cell if column == place else value for column, value in enumerate(good)] for place, cell in changed]
    workbook(path, data=[HEADER, *rows, ["c", "#REF!", "joy", 1, "images"], ["c", "x" * 201, "joy", 1, "images"], good])
    table = read_table(path, HEADER)
    assert [row.where for row in table.rows] == ["coding.xlsx, sheet data, line 9"]
    found = [problem.found for problem in table.problems]
    for text, problem in zip(
        (
            "date or time 2026-01-02",
            "date or time 01:02",
            "formula =A1",
            "formula =1+2",
            "rounded number 1.23",
            "#REF!",
            "201",
        ),
        found,
        strict=True,
    ):
        assert text in problem
    assert all(problem.lost for problem in table.problems)
    with pytest.raises(DataError, match="line 2: found the date"):
        table.complete()


def test_a_changed_cell_that_a_clip_can_do_without_counts_as_missing(tmp_path):
    workbook(tmp_path / "coding.xlsx", data=[["clip", "au"], ["c", datetime.date(2026, 4, 7)]])
    table = read_table(tmp_path / "coding.xlsx", ("clip", "action_units"))
    assert table.rows[0].text("action_units") == ""
    assert [problem.lost for problem in table.problems] == [False]


def test_formulas_with_a_stored_value_are_read(tmp_path):
    path = tmp_path / "coding.xlsx"
    workbook(path, data=[HEADER, ["=A1", "anna", "joy", 1, "images"]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = parts[sheet].replace(b'<c r="A2"><f>A1</f><v />', b'<c r="A2" t="str"><f>A1</f><v>c1</v>')
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert [row.text("clip") for row in read_table(path, HEADER).rows] == ["c1"]


def test_a_cell_merged_over_rows_counts_for_each(tmp_path):
    path = tmp_path / "coding.xlsx"
    book = workbook(path, data=[HEADER, *(["c", "anna" if n == 0 else None, "joy", n, "images"] for n in range(3))])
    book["data"].merge_cells("B2:B4")
    book.save(path)
    table = read_table(path, HEADER)
    assert [row.text("subject") for row in table.rows] == ["anna"] * 3
    assert "merged over several rows" in table.notes[0]


def test_sheets_with_one_header_are_read_together_and_others_named(tmp_path):
    row = ["c1", "anna", "joy", 1, "images"]
    more = ["c2", "ben", "joy", 2, "images"]
    sheets = {"first": [["a note"], HEADER, row], "second": [[*reversed(HEADER)], [*reversed(more)], [*reversed(row)]]}
    workbook(tmp_path / "coding.xlsx", notes=[["nothing"]], **sheets, third=[[*HEADER, "au"], [*row, 4]])
    table = read_table(tmp_path / "coding.xlsx", HEADER)
    assert [row.text("clip") for row in table.rows] == ["c1", "c2"]
    assert "read the sheets first, second, which have the same header; 1 rows" in table.notes[0]
    assert "not read, for their header differs: third" in table.notes[1]


def test_two_columns_of_one_name_must_agree(tmp_path):
    header = [*HEADER, "Subject"]
    path = write(tmp_path / "a.csv", ["c", "anna", "joy", 1, "images", "anna"], header=header)
    assert len(read_table(path, HEADER).rows) == 1
    write(path, ["c", "anna", "joy", 1, "images", "ben"], header=header)
    with pytest.raises(
        DataError, match=r"two columns subject \(numbers 2 and 6\) that differ, for example 'anna' and 'ben'"
    ):
        read_table(path, HEADER)


def test_a_row_with_more_cells_than_the_header_is_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        ",".join(HEADER) + ",,\nc,Smith, John,joy,1,images,,,\nd,ben,joy,1,images,,\ne,Roe, Jane,joy,1,images,x,y\n"
    )
    table = read_table(path, HEADER)
    assert [problem.found for problem in table.problems] == ["8 cells"]
    assert [row.text("clip") for row in table.rows] == ["c", "d"]


def test_a_file_is_read_by_its_content(tmp_path):
    workbook(tmp_path / "coding.xlsx", data=[HEADER, ["c1", "anna", "joy", 1, "images"]])
    for suffix in (".csv", ".xls"):
        (tmp_path / "coding.xlsx").rename(tmp_path / f"coding{suffix}")
        assert read_table(tmp_path / f"coding{suffix}", HEADER).rows[0].text("subject") == "anna"
        (tmp_path / f"coding{suffix}").rename(tmp_path / "coding.xlsx")
    text = tmp_path / "text.xls"
    text.write_text(text_of(["anna"], "\t"))
    table = read_table(text, HEADER)
    assert len(table.rows) == 1
    assert table.notes == ("text.xls: is a text table, not .xls",)
