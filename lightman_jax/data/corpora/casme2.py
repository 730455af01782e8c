"""CASME II: `sub01/EP01_12/[reg_]img46.jpg`, numbered as in the table `CASME2-coding-*.xlsx`.

The subject is `1` in one copy and `01` in another; not all clip names are padded (`EP01_2`).
"""

from lightman_jax.data.corpora.base import ASK_CAS, Corpus, Exclusion, Published
from lightman_jax.data.corpora.casme import WANTED, find_trees, read_rows
from lightman_jax.data.corpora.reader import Collector

_OBJECTIVE = r"casme[ _-]?(2|ii).*objective.*"


def _read(collector: Collector) -> None:
    table = collector.coding_table(r"casme[ _-]?(2|ii).*(coding|label).*", ("subject", "clip"), WANTED)
    read_rows(collector, table, _objective_classes(collector))


def _objective_classes(collector: Collector) -> dict[tuple[str, str], str]:
    """Objective classes, which are published in a separate table."""
    needed = ("subject", "clip", "objective")
    rows = collector.coding_table(_OBJECTIVE, needed).rows if collector.has_table(_OBJECTIVE) else ()
    return {collector.clip_key(row.text("subject"), row.text("clip")): row.text("objective") for row in rows}


CASME2 = Corpus(
    name="casme2",
    title="CASME II",
    obtain=ASK_CAS,
    looked_for="CASME II's own folders (sub01/EP01_12/*.jpg below Cropped or a RAW folder) and its coding table "
    "(CASME2-coding-*.xlsx)",
    find=lambda data_dir: find_trees(data_dir, casme2=True),
    read=_read,
    subject_format="sub{:02d}",
    fps=200,
    emotions={"disgust": 63, "fear": 2, "happiness": 32, "others": 99, "repression": 27, "sadness": 7, "surprise": 25},
    subjects=26,
    subject_numbers=tuple(range(1, 27)),
    classes={
        "5": ("disgust", "happiness", "others", "repression", "surprise"),
        "7": ("disgust", "fear", "happiness", "others", "repression", "sadness", "surprise"),
    },
    not_in_3=("fear", "sadness"),
    excluded=(
        # Left out by MEGC2019.
        Exclusion("sub04/EP12_01f", ("3",), counted_as="negative"),
        Exclusion("sub05/EP09_05f", ("3",), counted_as="negative"),
        # Not in the released table of 255 rows.
        Exclusion("sub24/EP02_07", ("3", "4", "5", "7", "objective")),
    ),
    # MEGC2018, classes I to V: 253 clips of 47 subjects of CASME II and SAMM (Davison, Merghani and Yap 2018,
    # "Objective Classes for Micro-Facial Expression Recognition").
    published={"3": Published(None, 24), "objective": Published((25, 15, 99, 26, 20), 26)},
)
