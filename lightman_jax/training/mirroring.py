"""The class that the mirror image of a clip shows: its own, that of a partner class, or none that is known.

A mirrored smirk on the left is a smirk on the right. Where class names hold a side of the face, a mirror image with the
label of its clip is a wrong training clip, and the mean of two predictions is chance.
"""

import re
import unicodedata
from collections.abc import Sequence

Partners = tuple[int, ...]
"""Class index of the mirror image of a clip of each class; without mirror classes `(0, 1, ..., N-1)`."""


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


# Words for the left and for the right, as they stand alone in a class name. Those that mean something else as well (the Turkish
# `sol`, left, is the Spanish sun) are in `_OPPOSITE` instead.
_WORDS = frozenset(
    _plain(
        "left right l aul r aur links linke linker linkes linken rechts rechte rechter rechtes rechten gauche droite "
        "izquierda izquierdo derecha esquerda esquerdo direita sinistra destra vänster höger venstre højre høyre lewa prawa levá "
        "pravá левый левая левое слева правый правая правое справа αριστερά δεξιά sağ 左 右 왼 왼쪽 오른 오른쪽 يسار يمين שמאל ימין"
    ).split()
)
# These characters are words without blanks around them.
_CHARACTERS = re.compile("[左右]")
# `lefteye` and `smirkright`, but neither `righteous` nor `bright`.
_COMPOUND = re.compile(r"(left|right)(?!over|ist|ism|ful|eous|ly$)|\w+(left|right)$")
_OTHER_WORDS = frozenset(
    "cleft bright fright upright outright downright forthright birthright alright copyright".split()  # noqa: SIM905
)
# These count in a class name whose opposite is a class as well.
_OPPOSITE = (
    *(("left", "right"), ("links", "rechts"), ("gauche", "droite"), ("gauche", "droit"), ("sinistro", "destro")),
    *(("izquierdo", "derecho"), ("esquerdo", "direito"), ("lewy", "prawy"), ("lewo", "prawo"), ("levý", "pravý")),
    *(
        ("лево", "право"),
        ("sol", "sağ"),
        ("sx", "dx"),
        ("sinister", "dexter"),
        ("kiri", "kanan"),
        ("좌", "우"),
        ("l", "r"),
    ),
)
# One letter with or without a digit, which may stand for something else: `L, M, H` or `L1, L2, L3`.
_CODE = re.compile(r"[^\W\d_]\d?\W*")


def mirror_partners(mirror: str, classes: Sequence[str]) -> Partners | None:
    """The class of the mirror image of each class, or None if clips are not mirrored.

    Args:
      mirror: `TrainConfig.mirror`: `auto`, `off`, or pairs such as `left:right,l_smirk:r_smirk`.
      classes: class names in the order of the indices.

    Returns:
      `[N]` class indices. With `auto`: each class itself, or None if a class name holds a side of the face (`sided_classes`). With
      pairs: the other class of the pair; classes in no pair keep themselves.

    Raises:
      ValueError: neither `auto`, `off` nor pairs; a pair with an unknown class; or a class in two pairs.

    >>> mirror_partners("auto", ["happy", "sad"]), mirror_partners("auto", ["left", "up"])
    ((0, 1), None)
    >>> mirror_partners("left:right", ["left", "right", "up"])
    (1, 0, 2)
    """
    if mirror == "off" or (mirror == "auto" and sided_classes(classes)):
        return None
    partners = list(range(len(classes)))
    if mirror == "auto":
        return tuple(partners)
    paired: set[int] = set()
    for pair in _pairs(mirror, classes):
        one, other = (list(classes).index(name) for name in pair)
        if paired & {one, other}:
            raise ValueError(f"mirror {mirror!r} has a class in two pairs; each class has one mirror image")
        paired |= {one, other}
        partners[one], partners[other] = other, one
    return tuple(partners)


def sided_classes(classes: Sequence[str]) -> list[str]:
    """The class names that hold a side of the face, left or right.

    A name does so if one of its words is `left`, `right`, `L` or `R` or their like in another language (`l_smirk`, `AU12L`,
    `L12`, `linke Braue`), or begins or ends with `left` or `right` (`lefteye`), or if another class has the same name but for the
    side (`lsmirk` and `rsmirk`). Words end at a blank, a sign, a digit, or a capital after a small letter. Letters among others
    without their opposite (`L, M, H`; `L1, L2, L3`) do not count.

    >>> sided_classes(["l_smirk", "AU12R", "LeftEye", "bright", "relief", "upright", "others"])
    ['l_smirk', 'AU12R', 'LeftEye']
    """
    known = {_plain(name) for name in classes}
    codes = {name for name in known if _CODE.fullmatch(name)}
    if len(codes) == 1 or {"l", "r"} <= {code[0] for code in codes}:
        codes = set()
    return [
        name
        for name in classes
        if (_CHARACTERS.search(name) and "左右" not in name)
        or any(
            (word in _WORDS and _plain(name) not in codes) or (_COMPOUND.match(word) and word not in _OTHER_WORDS)
            for word in _words(name)
        )
        or _exchanged(name) & known
    ]


def mirror_text(mirror: str, classes: Sequence[str]) -> str:
    """How clips are mirrored, in words; empty for the ordinary way, in which a mirror image keeps its label."""
    partners = mirror_partners(mirror, classes)
    if partners is None:
        sided = sided_classes(classes)
        because = f" (classes of one side of the face: {', '.join(sided)})" if sided else ""
        return f"clips are not mirrored{because}"
    pairs = [f"{classes[a]} and {classes[b]}" for a, b in enumerate(partners) if a < b]
    return f"mirrored clips exchange the classes {', '.join(pairs)}" if pairs else ""


def check_mirror(mirror: str) -> None:
    """Raise `ValueError` for a text that is neither `auto`, `off` nor pairs, whatever the classes."""
    if mirror not in ("auto", "off") and not re.fullmatch(".+:.+", str(mirror), re.DOTALL):
        raise ValueError(
            f"mirror {mirror!r} is neither auto, off nor pairs of classes; choose for example left:right,l_smirk:r_smirk"
        )


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-zß-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ])", " ", unicodedata.normalize("NFKC", name))
    # An apostrophe is part of a word, as in the French l'ennui.
    return re.findall(r"(?:[^\W\d_]|[\u0900-\u097f'\u2019])+", spaced.casefold())


def _exchanged(name: str) -> set[str]:
    """Names that differ from this one in the side, for one occurrence of a word for it; single letters only end or begin a word."""
    text, found = _plain(name), set()
    for pair in _OPPOSITE:
        for word, other in (pair, pair[::-1]):
            pattern = word if len(word) > 1 else rf"(?<![^\W\d_]){word}|{word}(?![^\W\d_])"
            found |= {text[: hit.start()] + other + text[hit.end() :] for hit in re.finditer(pattern, text)}
    return found


def _pairs(mirror: str, classes: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs, of classes whose names may have commas and colons in them."""
    check_mirror(mirror)
    names = "|".join(re.escape(name) for name in sorted(classes, key=len, reverse=True))
    pair = rf"\s*({names})\s*:\s*({names})\s*"
    if not re.fullmatch(f"{pair}(?:,{pair})*", mirror):
        unknown = [word for word in re.split("[:,]", mirror) if word.strip() not in classes]
        raise ValueError(
            f"mirror {mirror!r}: {', '.join(unknown) or mirror} is not among the classes; choose pairs NAME:NAME of "
            f"{', '.join(classes)}"
        )
    return [(hit[1], hit[2]) for hit in re.finditer(rf"(?:^|,){pair}(?=,|$)", mirror)]
