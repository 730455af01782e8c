"""Facts of each corpus as data: who is in it, its labels, its rate, how its names are written, how to obtain it."""

import dataclasses
import re

MARKER = "STAND_IN.txt"
"""A file of this name at the root of a tree says that its clips are invented."""

EMOTION_ALIASES = {
    "happy": "happiness",
    "amusement": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "surprised": "surprise",
    "other": "others",
    "tension": "tense",
}
"""Spellings of emotions in the corpora's tables and folders, lower case, and the one name used here."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One corpus as its makers released it.

    Attributes:
      name: what `--dataset` or `--macro` takes.
      title: how it is printed.
      people: prefix of subject names; corpora that filmed the same people share it, so that a fold holds a person
        out of both.
      rate: pictures a second; 0 where every clip has its own, or where there are stills alone.
      emotions: names that labels may have, with the published number of micro clips (of a macro corpus: its clips);
        0 is unknown.
      subjects: published number of subjects with labelled clips; 0 is unknown.
      macro_clips: published number of macro clips in a corpus that has both.
      people_numbers: numbers of its people where they are known; another one is said.
      recalled: the counts are from the published tables by memory of them, not read from a file.
      obtain: how a researcher gets it.
    """

    name: str
    title: str
    people: str
    rate: float
    emotions: tuple[tuple[str, int], ...]
    subjects: int
    obtain: str
    macro_clips: int = 0
    subject_numbers: tuple[int, ...] = ()
    recalled: bool = False

    @property
    def clips(self) -> int:
        """Published number of clips; 0 is unknown."""
        return sum(count for _, count in self.emotions)


_OULU = "ask the University of Oulu (Center for Machine Vision and Signal Analysis) for it; a signed form is needed"
_CAS = "ask the Institute of Psychology of the Chinese Academy of Sciences (casme.psych.ac.cn) for it; a signed form is needed"
_MMU = "ask Manchester Metropolitan University for it; a signed form is needed"
_SMIC_EMOTIONS = (("negative", 70), ("positive", 51), ("surprise", 43))
_SMIC_PEOPLE = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)
_SMIC_SLOW_EMOTIONS = (("negative", 23), ("positive", 28), ("surprise", 20))
_SEVEN = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus("smic", "SMIC-HS", "smic", 100, _SMIC_EMOTIONS, 16, _OULU, subject_numbers=_SMIC_PEOPLE),
        Corpus("smic_vis", "SMIC-VIS", "smic", 25, _SMIC_SLOW_EMOTIONS, 8, _OULU, recalled=True),
        Corpus("smic_nir", "SMIC-NIR", "smic", 25, _SMIC_SLOW_EMOTIONS, 8, _OULU, recalled=True),
        Corpus("smic_e", "SMIC-HS-E", "smic", 100, _SMIC_EMOTIONS, 16, _OULU, subject_numbers=_SMIC_PEOPLE),
        Corpus("smic_e_vis", "SMIC-VIS-E", "smic", 25, _SMIC_SLOW_EMOTIONS, 8, _OULU, recalled=True),
        Corpus("smic_e_nir", "SMIC-NIR-E", "smic", 25, _SMIC_SLOW_EMOTIONS, 8, _OULU, recalled=True),
        Corpus(
            "casme",
            "CASME",
            "casme",
            60,
            tuple((name, 0) for name in (*_SEVEN[1:], "repression", "tense")),
            19,
            _CAS,
        ),
        Corpus(
            "casme2",
            "CASME II",
            "casme2",
            200,
            (
                ("disgust", 63),
                ("fear", 2),
                ("happiness", 32),
                ("others", 99),
                ("repression", 27),
                ("sadness", 7),
                ("surprise", 25),
            ),
            26,
            _CAS,
            subject_numbers=tuple(range(1, 27)),
        ),
        Corpus(
            "samm",
            "SAMM",
            "samm",
            200,
            (
                ("anger", 57),
                ("contempt", 12),
                ("disgust", 9),
                ("fear", 8),
                ("happiness", 26),
                ("others", 26),
                ("sadness", 6),
                ("surprise", 15),
            ),
            29,
            _MMU,
        ),
        Corpus(
            "samm_long",
            "SAMM Long Videos",
            "samm",
            200,
            tuple((name, 0) for name in (*_SEVEN, "others")),
            0,
            _MMU,
            macro_clips=343,
        ),
        Corpus(
            "mmew",
            "MMEW",
            "mmew",
            90,
            (
                ("anger", 8),
                ("disgust", 72),
                ("fear", 16),
                ("happiness", 36),
                ("others", 66),
                ("sadness", 13),
                ("surprise", 89),
            ),
            0,
            "ask Shandong University (dpailab.com) for it by mail",
            macro_clips=900,
            recalled=True,
        ),
        Corpus(
            "casme_squared",
            "CAS(ME)^2",
            "casme_squared",
            30,
            tuple((name, 0) for name in ("negative", "others", "positive", "surprise")),
            0,
            _CAS,
            macro_clips=300,
        ),
        Corpus(
            "casme3",
            "CAS(ME)^3 part A",
            "casme3",
            30,
            (
                ("anger", 64),
                ("disgust", 250),
                ("fear", 86),
                ("happiness", 55),
                ("others", 161),
                ("sadness", 57),
                ("surprise", 187),
            ),
            94,
            _CAS,
            macro_clips=3143,
        ),
        Corpus("casme3_c", "CAS(ME)^3 part C", "casme3_c", 30, (), 31, _CAS, recalled=True),
        Corpus(
            "4dme",
            "4DME (grey micro)",
            "4dme",
            60,
            tuple((name, 0) for name in ("negative", "others", "positive", "repression", "surprise")),
            41,
            _OULU,
        ),
        Corpus(
            "dfme",
            "DFME",
            "dfme",
            0,
            tuple(zip(_SEVEN, (161, 100, 548, 265, 206, 278, 298), strict=True)),
            176,
            "ask its makers (mea-lab-421.github.io) for it; a signed form is needed",
        ),
        Corpus(
            "ck_plus",
            "CK+",
            "ck_plus",
            30,
            tuple(zip(_SEVEN, (45, 18, 59, 25, 69, 28, 83), strict=True)),
            118,
            "ask its makers (jeffcohn.net) for it; a signed form is needed",
            recalled=True,
        ),
        Corpus(
            "oulu_casia",
            "Oulu-CASIA",
            "oulu_casia",
            25,
            tuple((name, 80) for name in _SEVEN if name != "contempt"),
            80,
            _OULU,
            recalled=True,
        ),
        Corpus(
            "fer2013",
            "FER-2013",
            "fer2013",
            0,
            tuple((name, 0) for name in (*_SEVEN, "neutral") if name != "contempt"),
            0,
            "take fer2013.csv from the Kaggle challenge of 2013",
        ),
        Corpus("table", "own table", "table", 0, (), 0, "write a table with the columns clip, subject, label, path"),
        Corpus(
            "simulated_au",
            "simulated action units",
            "simulated_au",
            0,
            tuple((e, 0) for e, _ in _SMIC_EMOTIONS),
            0,
            "it is simulated",
        ),
    )
}


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


_COMPOSITE = ("smic", "casme2", "samm")
_MACRO_ALONE = ("ck_plus", "oulu_casia", "fer2013")

PROTOCOLS: dict[str, Protocol] = {
    **{
        corpus.name: Protocol(corpus.name, corpus.title, (corpus.name,))
        for corpus in CORPORA.values()
        if corpus.name not in _MACRO_ALONE
    },
    "megc2018": Protocol("megc2018", "MEGC2018 composite", ("casme2", "samm")),
    "megc2019": Protocol(
        "megc2019",
        "MEGC2019 composite",
        _COMPOSITE,
        ((frozenset(_COMPOSITE), 0.81), (frozenset({"smic", "casme2"}), 0.85)),
    ),
}

MACRO_CORPORA = tuple(
    name
    for name, corpus in CORPORA.items()
    if name in _MACRO_ALONE or corpus.macro_clips or name in {"table", "simulated_au"}
)
"""What `--macro` takes: corpora with macro-expressions."""

_SUBJECT_FORMS = {
    "smic": "s{}",
    "casme": "sub{:02d}",
    "casme2": "sub{:02d}",
    "samm": "{:03d}",
    "mmew": "S{:02d}",
    "casme_squared": "s{}",
    "casme3": "spno.{}",
    "casme3_c": "c{}",
    "4dme": "{}",
    "dfme": "sub{:04d}",
    "ck_plus": "S{:03d}",
    "oulu_casia": "P{:03d}",
}


def normal_emotion(text: str) -> str:
    """One spelling of an emotion over all tables; the parts of a compound in alphabetical order.

    >>> normal_emotion(" Sad"), normal_emotion("Surprise+Positive"), normal_emotion("Other")
    ('sadness', 'positive+surprise', 'others')
    """
    parts = [part.strip().lower() for part in text.split("+")]
    return "+".join(sorted(EMOTION_ALIASES.get(part, part) for part in parts))


def normal_subject(people: str, text: str) -> str:
    """One spelling of a subject's id over all copies of a corpus: SMIC `s01`, `S1`, `1` are all `s1`.

    >>> normal_subject("smic", "s01"), normal_subject("casme2", "sub5"), normal_subject("samm", "6")
    ('s1', 'sub05', '006')
    """
    text = text.strip()
    form, digits = _SUBJECT_FORMS.get(people), re.search(r"\d+", text)
    return form.format(int(digits.group())) if form and digits else text


def normal_clip(people: str, text: str) -> str:
    """One spelling of a clip's name over all copies of a corpus: SMIC `s03_ne_01` and `s3_ne_1` are `s3_ne_01`.

    >>> normal_clip("smic", "s03_PO_2"), normal_clip("casme2", " EP02_01f")
    ('s3_po_02', 'EP02_01f')
    """
    text = text.strip()
    parts = re.fullmatch(r"s0*(\d+)_(ne|po|sur)_0*(\d+)", text, flags=re.IGNORECASE) if people == "smic" else None
    if parts is None:
        return text
    return f"s{int(parts[1])}_{parts[2].lower()}_{int(parts[3]):02d}"
