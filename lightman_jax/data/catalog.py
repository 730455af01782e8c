"""Facts of each corpus as data: who is in it, which classes, how its names are normalised, how to obtain it."""

import dataclasses
import re

EMOTIONS_3 = ("negative", "positive", "surprise")
"""Label space of the MEGC2019 protocols."""

MARKER = "STAND_IN.txt"
"""A file of this name at the root of a tree says that its clips are invented."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One corpus under the 3-class protocol.

    Attributes:
      name: what `--dataset` takes.
      title: how it is printed.
      subjects: subjects with clips in the protocol.
      class_counts: clips of each class of `EMOTIONS_3` in the protocol.
      obtain: how a researcher gets it.
    """

    name: str
    title: str
    subjects: int
    class_counts: tuple[int, int, int]
    obtain: str


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A choice of corpora that are trained and tested together.

    Attributes:
      name: what `--dataset` takes.
      title: how it is printed.
      corpora: names in `CORPORA`.
      suspicious_uf1: by the corpora that are there, the pooled UF1 above which one looks for a leak before celebrating.
    """

    name: str
    title: str
    corpora: tuple[str, ...]
    suspicious_uf1: tuple[tuple[frozenset[str], float], ...] = ()


CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "smic",
            "SMIC-HS",
            16,
            (70, 51, 43),
            "ask the University of Oulu (Center for Machine Vision and Signal Analysis) for SMIC; a signed form is needed",
        ),
        Corpus(
            "casme2",
            "CASME II",
            24,
            (88, 32, 25),
            "ask the Institute of Psychology of the Chinese Academy of Sciences for CASME II; a signed form is needed",
        ),
        Corpus(
            "samm",
            "SAMM",
            28,
            (92, 26, 15),
            "ask Manchester Metropolitan University for SAMM; a signed form is needed",
        ),
    )
}

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("smic", "SMIC-HS", ("smic",)),
        Protocol("casme2", "CASME II", ("casme2",)),
        Protocol(
            "megc2019",
            "MEGC2019 composite",
            ("smic", "casme2", "samm"),
            ((frozenset({"smic", "casme2", "samm"}), 0.81), (frozenset({"smic", "casme2"}), 0.85)),
        ),
    )
}


def normal_subject(corpus: str, text: str) -> str:
    """One spelling of a subject's id over all copies of a corpus: SMIC `s01`, `S1`, `1` are all `s1`.

    >>> normal_subject("smic", "s01"), normal_subject("casme2", "sub5"), normal_subject("samm", "6")
    ('s1', 'sub05', '006')
    """
    text = text.strip().lower()
    digits = re.search(r"\d+", text)
    if digits is None:
        return text
    number = int(digits.group())
    forms = {"smic": f"s{number}", "casme2": f"sub{number:02d}", "samm": f"{number:03d}"}
    return forms.get(corpus, text)


def normal_clip(corpus: str, text: str) -> str:
    """One spelling of a clip's name over all copies of a corpus: SMIC `s03_ne_01` and `s3_ne_1` are `s3_ne_01`.

    >>> normal_clip("smic", "s03_PO_2"), normal_clip("casme2", " EP02_01f")
    ('s3_po_02', 'EP02_01f')
    """
    text = text.strip()
    parts = re.fullmatch(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", text, flags=re.IGNORECASE) if corpus == "smic" else None
    if parts is None:
        return text
    return f"s{int(parts[1])}_{parts[2].lower()}_{int(parts[3]):02d}"
