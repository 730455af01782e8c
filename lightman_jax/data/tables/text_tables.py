"""Text of a table: its encoding by evidence in the bytes, and its delimiter by evidence in several lines.

Choice: bytes that are neither UTF-8 nor UTF-16 are Windows-1252 unless the words of another encoding are more plausible. General
detectors need more text than a table of names has: `charset-normalizer` reads German names as Windows-1250.
"""

import codecs
import csv
import io
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lightman_jax.data.records import DataError

_TITLES = {
    "cp1252": "Windows-1252 (Western European)",
    "cp949": "Windows-949 (Korean)",
    "gb18030": "GB18030 (Chinese)",
    "cp932": "Shift-JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "big5": "Big5 (Chinese)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8_r": "KOI8-R (Cyrillic)",
    "cp874": "Windows-874 (Thai)",
    "mac_roman": "Mac OS Roman",
    "cp850": "DOS 850 (Western European)",
    "cp1250": "Windows-1250 (Central European)",
    "iso8859_2": "ISO 8859-2 (Central European)",
    "cp1254": "Windows-1254 (Turkish)",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32",
}
"""The 8-bit and multi-byte encodings in order of preference, then those that a mark or the zero bytes state."""

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_ZEROS: dict[tuple[int, ...], str] = {
    (0, 1, 1, 1): "utf-32-le",
    (1, 1, 1, 0): "utf-32-be",
    (0, 1, 0, 1): "utf-16-le",
    (1, 0, 1, 0): "utf-16-be",
}
# First bytes of the frequent characters: level 1 of GB 2312 and Big5, level 1 and kana of JIS, the syllables of KS X 1001.
_FREQUENT = {
    "gb18030": (0xB0, 0xD7),
    "big5": (0xA4, 0xC6),
    "cp932": (0x82, 0x97),
    "euc_jp": (0xA4, 0xCF),
    "cp949": (0xB0, 0xC8),
}
# Of these, the second byte of a frequent character is beyond ASCII as well.
_HIGH = ("gb18030", "cp949", "euc_jp")
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "IDEOGRAPHIC", "FULLWIDTH", "HALFWIDTH"}
# A few letters of these are plausible in Chinese or Russian as well, many are not.
_NEEDS_LETTERS = {"cp949": 6, "cp1255": 6, "cp1253": 4, "cp1256": 4}
_NEUTRAL = (
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}"
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
)
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_INSIDE = f"{_APOSTROPHE}\N{EN DASH}\N{EM DASH}\N{DEGREE SIGN}\N{SECTION SIGN}\N{MICRO SIGN}\N{PLUS-MINUS SIGN}"
# Letters in a wrong place: final forms of Hebrew and Greek inside a word, the other sigma at its end, a letter of Urdu.
_MISPLACED = re.compile(
    "[\N{HEBREW LETTER FINAL KAF}\N{HEBREW LETTER FINAL MEM}\N{HEBREW LETTER FINAL NUN}\N{HEBREW LETTER FINAL PE}"
    "\N{HEBREW LETTER FINAL TSADI}\N{GREEK SMALL LETTER FINAL SIGMA}].|\N{GREEK SMALL LETTER SIGMA}$|\N{ARABIC LETTER HEH GOAL}"
)
_ACUTE = "\N{COMBINING ACUTE ACCENT}"
# Letters of one language each: German, French, Spanish, Portuguese, Italian, Danish, Swedish, Finnish, and those of Czech in
# Windows-1252; Polish, Czech, Slovak, Hungarian, Croatian, Romanian; Turkish.
_WESTERN = "äöüß àâæçéèêëîïôœùûüÿ áéíñóúü ãáâàçéêíóôú àèéìíîòóùú æøåé åäöéü äöšžå áéíóúýšž"
_CENTRAL = "ąćęłńóśźż áčďéěíňóřšťúůýž áäčďéíĺľňóôŕšťúýž áéíóöőúüű čćđšž ăâîşţ"
_ALPHABETS = {
    **dict.fromkeys(("cp1252", "mac_roman"), _WESTERN),
    **dict.fromkeys(("cp1250", "iso8859_2"), _CENTRAL),
    "cp1254": "çğıöşüâîû",
}
_ONE_LANGUAGE = 1e-3
_SAMPLE = 1 << 16
_LINES = 60


def decode(content: bytes) -> tuple[str, str]:
    """Text of a file, and the name of an encoding that was chosen; empty for UTF-8.

    Raises:
      DataError: the bytes are damaged text.
    """
    marked = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None) or _by_zeros(content)
    if marked:
        try:
            return content.decode(marked).removeprefix("\ufeff"), _TITLES[marked]
        except UnicodeDecodeError as error:
            raise DataError(f"damaged {_TITLES[marked]} text at byte {error.start}; save it as UTF-8") from error
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        damaged = error
    shares = {name: _plausible(content[:_SAMPLE], name) for name in itertools.islice(_TITLES, len(_TITLES) - 4)}
    encoding = max(shares, key=shares.__getitem__)
    if _plausible(content[:_SAMPLE], "utf-8", "replace") > 0.5:
        line = content[: damaged.start].count(b"\n") + 1
        raise DataError(f"UTF-8 text with damaged letters in line {line}; save it as UTF-8 again") from damaged
    return content.decode(encoding, "replace"), _TITLES[encoding]


def read_text_table(content: bytes) -> tuple[list[list[Any]], tuple[str, ...]]:
    """Rows of cells of a text table, and one sentence on its encoding unless that is UTF-8.

    Raises:
      DataError: the bytes are damaged text, or a quotation mark has no partner.
    """
    text, encoding = decode(content)
    text = text.rstrip("\x00\x1a")
    stated = re.match(r"\s*\"?sep=(.)\"?\r?\n?", text, re.IGNORECASE)
    # A spreadsheet program may state its delimiter in the first line; an empty row keeps the line numbers right.
    rows = [[], *_cells(text[stated.end() :], stated[1])] if stated else _cells(text, _delimiter(text))
    notes = [f"read as {encoding}; if letters are wrong, save it as UTF-8"] if encoding else []
    if _lacks_row_names(rows):
        next(filter(any, rows)).insert(0, "")
        notes.append("the header has one cell less than the rows; the numbers at their begin are taken for row numbers")
    return rows, tuple(notes)


def _lacks_row_names(rows: list[list[Any]]) -> bool:
    """Whether the header lacks a name for the column of row numbers, as R's `write.table` writes it."""
    header, *others = [row for row in rows if any(row)] or [[]]
    numbers = {row[0] for row in others if row[0].isdecimal() and len(row) == len(header) + 1}
    return 0 < len(numbers) == len(others) and any(row[-1].strip() for row in others)


def _cells(text: str, delimiter: str) -> list[list[Any]]:
    try:
        return list(_reader(text, delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            # Read on without strictness, all further lines would silently become one cell.
            line = text[: text.rindex('"')].count("\n") + 1
            raise DataError(
                f"a quotation mark without a partner, the last in line {line}; correct that line"
            ) from error
    return list(_reader(text, delimiter))


def _reader(text: str, delimiter: str, *, strict: bool = False) -> Iterator[list[Any]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=strict)


def _delimiter(text: str) -> str:
    """The delimiter that cuts most of the first lines into the same number of cells; a blank where no other does."""

    def agreeing(delimiter: str) -> tuple[int, int]:
        rows = itertools.islice(_reader(text, delimiter), _LINES)
        widths = Counter(len(row) for row in rows if len(row) > 1)
        return max(((count, width) for width, count in widths.items()), default=(0, 0))

    best = max(",;\t|", key=agreeing)
    return best if agreeing(best)[0] else " "


def _by_zeros(content: bytes) -> str | None:
    """The encoding that zero bytes imply in text without a mark, most of which is ASCII."""
    sample = content[:4096]
    if sample.count(0) * 5 < len(sample):
        return None
    shares = [sample[start::4].count(0) / max(1, len(sample[start::4])) for start in range(4)]
    return _ZEROS.get(tuple(int(share > max(shares) / 2) for share in shares))


def _plausible(content: bytes, encoding: str, errors: str = "strict") -> float:
    """Share of the bytes above 127 that an encoding makes parts of plausible words."""
    try:
        text = content.decode(encoding, errors)
    except UnicodeDecodeError as error:
        if error.start < len(content) - 4 or len(content) < _SAMPLE:
            return -1.0
        text = content[: error.start].decode(encoding)
    good = total = 0.0
    if len(set(re.findall(r"[^\x00-\x7f]", text))) < _NEEDS_LETTERS.get(encoding, 0):
        return 0.0
    for word, is_good in _judged_words(text, encoding):
        size = sum(1 if letter == "\ufffd" else len(letter.encode(encoding)) for letter in word if letter > "\x7f")
        good, total = good + size * is_good, total + size
    # Signs alone, such as a degree sign, are evidence of nothing.
    if not total:
        return float(encoding == "cp1252")
    return good / total + _ONE_LANGUAGE * _is_one_language(text, encoding)


def _is_one_language(text: str, encoding: str) -> bool:
    """Whether a language has all letters; for the Western encodings, whether every word is of one, as names of many are common."""
    # The Portuguese letter before any other is the Hungarian one.
    words = re.findall(r"[^\W\d_]+", text.lower().replace("õe", ""))
    alphabets = _ALPHABETS.get(encoding, "")
    letters = [{letter for letter in word if letter > "\x7f"} for word in words]
    parts = letters if alphabets is _WESTERN else [set().union(*letters)]
    return all(any(part <= {*one} for one in alphabets.split()) for part in parts)


def _judged_words(text: str, encoding: str) -> Iterator[tuple[str, float]]:
    """Every word with letters beyond ASCII, and how plausible it is: 0 to 1."""
    for word in re.findall(r"[^\x00-\x40\[-`{-~]+", text):
        if word.isascii():
            continue
        word = word.strip(_NEUTRAL)
        letters = re.sub(f"[{_INSIDE}]", "", word)
        if not letters.isascii():
            yield letters, _word_plausibility(letters, encoding)
        elif re.search(rf"[A-Za-z]{_APOSTROPHE}[A-Za-z]", word):
            yield _APOSTROPHE, 1.0


def _word_plausibility(word: str, encoding: str) -> float:
    scripts = {unicodedata.name(letter, "?").split()[0].split("-")[0] for letter in word}
    if scripts <= _EAST_ASIAN:
        first, last = _FREQUENT.get(encoding, (0, 255))
        codes = [letter.encode(encoding) for letter in word]
        return sum(first <= code[0] <= last and (encoding not in _HIGH or code[-1] > 0xA0) for code in codes) / len(
            word
        )
    if len(scripts) > 1 or not all(unicodedata.category(letter)[0] in "LM" for letter in word):
        return 0.0
    if scripts == {"LATIN"} and len(word) > 1 and not re.search("[A-Za-z]", word):
        return 0.0
    if _MISPLACED.search(word):
        return 0.0
    if (
        scripts == {"GREEK"}
        and len(word) > 3
        and not word.isupper()
        and unicodedata.normalize("NFD", word).count(_ACUTE) != 1
    ):
        return 0.0
    is_cased = word.islower() or word.isupper() or (word[:1].isupper() and word[1:].islower())
    return float(is_cased or word.upper() == word.lower())
