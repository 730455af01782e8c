"""The table of predictions: exact when written here, and in the dialects of other programs."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.evaluation.prediction_table import (
    Prediction,
    read_prediction_table,
    read_predictions,
    write_predictions,
)
from tests.inputs import CLASSES, NAMES

NEEDED = ["clip", "subject", "label", "prediction"]
COLUMNS = ["clip", "dataset", "subject", "fold", "seed", "label", "prediction", *(f"p_{name}" for name in CLASSES)]


def make_rows(clips=6):
    rows = []
    for k in range(clips):
        p = [0.1, 0.1, 0.1]
        p[k % 3] = 0.8
        rows.append(
            Prediction(f"my/Zoë/{k}", "my", f"my/s{k % 2}", f"my/s{k % 2}", 0, CLASSES[k % 3], CLASSES[k % 2], tuple(p))
        )
    return rows


def cells(row):
    return [row.clip, row.dataset, row.subject, row.fold, row.seed, row.label, row.prediction, *row.probabilities]


def table(rows, columns=COLUMNS, more=(), delimiter=",", decimal=".", blank=False):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n\n" if blank else "\n")
    writer.writerow([*columns, *more])
    for row in rows:
        own = dict(zip(COLUMNS, cells(row), strict=True))
        values = [own[name.lower()] for name in columns] + [0.03] * len(more)
        writer.writerow([str(v).replace(".", decimal) if isinstance(v, float) else v for v in values])
    return out.getvalue()


@settings(max_examples=50, deadline=None)
@given(st.lists(NAMES.map(str.strip).filter(lambda name: name.isprintable() and name), min_size=5, max_size=5))
def test_any_names_are_read_back_as_they_were_written(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("table") / "p.csv"
    clip, subject, fold, *classes = names
    classes = [f"{name}{k}" for k, name in enumerate([*classes, "never seen"])]
    rows = [Prediction(clip, "my", subject, fold, 3, classes[0], classes[1], (0.1, 0.2, 0.7))]
    write_predictions(path, rows, classes)
    assert read_predictions(path) == (rows, classes)


def test_probabilities_are_read_back_exactly(tmp_path):
    values = np.random.default_rng(0).dirichlet(np.ones(3), 20).astype(np.float32)
    rows = [
        dataclasses.replace(make_rows()[0], clip=f"my/s/{k}", probabilities=tuple(map(float, p)))
        for k, p in enumerate(values)
    ]
    write_predictions(tmp_path / "p.csv", rows, CLASSES)
    back, _ = read_predictions(tmp_path / "p.csv")
    assert np.array_equal(np.float32([row.probabilities for row in back]), values)


@settings(max_examples=50, deadline=None)
@given(
    columns=st.permutations(COLUMNS),
    more=st.lists(st.sampled_from(["p_value", "p_id", "P_age", "p_", "notes", "path"]), unique=True),
    delimiter=st.sampled_from([",", ";", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]),
    upper=st.booleans(),
    blank=st.booleans(),
    left_out=st.sets(st.sampled_from(["dataset", "fold", "seed"])),
)
def test_a_table_of_another_program_has_the_classes_of_its_labels_and_predictions(
    tmp_path_factory, columns, more, delimiter, encoding, upper, blank, left_out
):
    path = tmp_path_factory.mktemp("table") / "p.csv"
    rows = make_rows()
    columns = [name.upper() if upper else name for name in columns if name not in left_out]
    decimal = "," if delimiter == ";" else "."
    path.write_bytes(table(rows, columns, more, delimiter, decimal, blank).encode(encoding))
    found = read_prediction_table(path)
    assert found.rows == [dataclasses.replace(row, probabilities=()) for row in rows]
    assert set(found.classes) == set(CLASSES)
    assert not found.own
    assert all(any(f"column {name}:" in note for note in found.notes) for name in left_out)
    unused = "".join(note for note in found.notes if "not used" in note)
    assert all(name in unused for name in (*columns, *more) if name.lower().startswith("p_"))


@pytest.mark.parametrize("written", [("0", "0.0"), ("0.0", "0"), ("0,0", "0.0")])
def test_a_class_that_is_a_number_is_the_same_class_with_decimals(tmp_path, written):
    text = "clip;subject;label;prediction\n" + "a;s;{};{}\nb;s;1;1\n".format(*written)
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    found = read_prediction_table(tmp_path / "p.csv")
    assert [(row.label, row.prediction) for row in found.rows] == [("0", "0"), ("1", "1")]
    assert "the classes 0.0 are" in found.notes[-1] or "the classes 0,0, 0.0 are" in found.notes[-1]


def test_a_class_without_clips_counts_in_a_table_of_this_package_only(tmp_path):
    rows = [row for row in make_rows() if row.label != "surprise"]
    write_predictions(tmp_path / "own.csv", rows, CLASSES)
    assert read_predictions(tmp_path / "own.csv")[1] == list(CLASSES)
    (tmp_path / "other.csv").write_text(table(rows), encoding="utf-8")
    assert read_predictions(tmp_path / "other.csv")[1] == ["negative", "positive"]


def test_a_column_added_to_a_table_of_this_package_is_no_class(tmp_path):
    write_predictions(tmp_path / "p.csv", make_rows(), CLASSES)
    head, *lines = (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "p.csv").write_text(
        "\n".join([f"{head},p_value", *(f"{line},0.03" for line in lines)]), encoding="utf-8"
    )
    assert read_predictions(tmp_path / "p.csv") == (make_rows(), list(CLASSES))


def test_a_class_without_a_column_leaves_the_probabilities_out(tmp_path):
    write_predictions(tmp_path / "p.csv", make_rows(), CLASSES)
    text = (tmp_path / "p.csv").read_text(encoding="utf-8").replace("p_surprise", "extra")
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    found = read_prediction_table(tmp_path / "p.csv")
    assert found.classes == list(CLASSES)
    assert {row.probabilities for row in found.rows} == {()}
    assert "surprise has no column" in found.notes[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,label\nx,y\n", "lacks the columns subject, prediction; it has clip, label"),
        ("", "it has none"),
        (",".join(NEEDED) + "\n", "has no row"),
        (",".join(NEEDED) + "\na,b,,d\n", "line 2 has no label"),
        (",".join(NEEDED) + "\na,b,c,d,e\n", "line 2 has more cells"),
        (",".join([*NEEDED, "seed"]) + "\na,b,c,d,x\n", "line 2 has the seed x"),
        (",".join(NEEDED) + "\na,b,c,nan\n", r"line 2 has no prediction \(nan marks a missing one\); fill"),
        (",".join([*NEEDED, "p_c", "format_version"]) + "\na,b,c,c,nan,1\n", "line 2 has a non-finite probability"),
        (",".join([*NEEDED, "Label"]) + "\na,b,c,d,e\n", "has the columns label and Label"),
        (",".join([*NEEDED, "format_version"]) + "\na,b,c,d,9\n", "has format version 9"),
    ],
)
def test_faulty_tables_are_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_predictions(tmp_path / "p.csv")


def test_a_workbook_is_read_below_its_notes(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in (["made by hand"], [], COLUMNS, *map(cells, make_rows())):
        book.active.append(line)
    book.create_sheet("other")
    book.save(tmp_path / "p.xlsx")
    found = read_prediction_table(tmp_path / "p.xlsx")
    assert found.rows == [dataclasses.replace(row, probabilities=()) for row in make_rows()]
    assert "sheet Sheet of 2 is read" in found.notes[0]
