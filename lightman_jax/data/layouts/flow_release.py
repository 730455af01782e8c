"""The public flow release of MEGC2019: one 28x28 picture of u, v and strain per clip, and one label table.

Quirks read from the release: a blank may stand before `.png`; the clip's picture is `{sub}_{filename_o}`, while the table's
own `imagename` column names another file; any part of the release may be there.
"""

import csv
from pathlib import Path

from lightman_jax.data.catalog import EMOTIONS_3, normal_clip, normal_subject
from lightman_jax.data.clips import DataError, Problem, RawClip, Reading

NAME = "flow_release"
TABLE = "combined_3_class2_for_optical_flow.csv"
PICTURES = "STSNet_whole_norm_u_v_os"
LOOKED_FOR = f"the public flow release (table {TABLE} beside a folder {PICTURES} of 28x28 pictures)"

_COLUMNS = ("dataset", "sub", "filename_o", "label")


def find(data_dir: Path) -> Path | None:
    """The release's folder: `data_dir` itself, or a folder in it, that holds the table or the pictures."""
    for folder in (data_dir, *sorted(p for p in data_dir.iterdir() if p.is_dir())):
        if _child(folder, TABLE) or _child(folder, PICTURES):
            return folder
    return None


def read_clips(root: Path, corpora: tuple[str, ...]) -> Reading:
    """Read the clips of some corpora.

    Args:
      root: from `find`.
      corpora: names in the table's `dataset` column.

    Raises:
      DataError: no table, no picture folder, or a column is missing.
    """
    table, pictures = _child(root, TABLE), _child(root, PICTURES)
    if table is None or pictures is None:
        missing, kind = (TABLE, "table") if table is None else (PICTURES, "picture folder")
        raise DataError(f"{root} has no {kind} {missing}; put the file of the flow release back beside the rest of it")
    files = {path.stem.strip().lower(): path for path in sorted(pictures.iterdir()) if path.suffix.lower() == ".png"}
    clips: list[RawClip] = []
    problems: list[Problem] = []
    absent: dict[str, list[str]] = {}
    seen: dict[str, int] = {}
    for line, row in _rows(table):
        corpus = row["dataset"].strip().lower()
        if corpus not in corpora:
            continue
        where = f"{table.name} line {line}"
        subject = f"{corpus}/{normal_subject(corpus, row['sub'])}"
        clip = f"{subject}/{normal_clip(corpus, row['filename_o'])}"
        label = row["label"].strip()
        if label not in {"0", "1", "2"}:
            problems.append(
                Problem(where, f"clip {clip} has label {label!r}; 0 negative, 1 positive, 2 surprise are allowed")
            )
        elif clip in seen:
            problems.append(Problem(where, f"clip {clip} stands in line {seen[clip]} already"))
        elif (path := files.get(f"{row['sub'].strip()}_{row['filename_o'].strip()}".lower())) is None:
            absent.setdefault(corpus, []).append(clip)
        else:
            seen[clip] = line
            clips.append(RawClip(clip, subject, EMOTIONS_3[int(label)], "micro", "flow", (path,), cropped=True))
    present = {clip.subject.split("/")[0] for clip in clips}
    notes = [
        f"{len(names)} listed clips of {corpus} have no picture: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for corpus, names in sorted(absent.items())
        if corpus in present
    ]
    return Reading(NAME, root, tuple(clips), tuple(problems), tuple(notes))


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            missing = [name for name in _COLUMNS if name not in columns]
            if missing:
                raise DataError(
                    f"{table} lacks the column {', '.join(missing)}; it has {', '.join(columns) or 'none'}. "
                    f"Name the columns {', '.join(_COLUMNS)} as the release does"
                )
            return [(reader.line_num, {name: row[name] or "" for name in _COLUMNS}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a readable csv table ({error}); take it from the release again") from error


def _child(folder: Path, name: str) -> Path | None:
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == name.lower()), None)
