"""Labelled clips for adaptation: the table of `--support` has the format of `clips.csv`."""

import numpy as np
import openpyxl
import pytest

from experiments.cli.flags import ConfigError
from experiments.demo import DemoVideo, Movement, write_video
from experiments.prediction.movements import Settings, find_movements, model_image, read_support
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.vision.faces import FaceBox
from lightman_jax.data.vision.images import write_image
from lightman_jax.data.vision.spotting import SpotConfig
from lightman_jax.data.vision.video import find_videos, read_frames
from tests.inputs import CLASSES

SMILE = DemoVideo("smile.avi", 50, 40, (Movement("positive", 12, 20, 29),))
BOX = (104, 218, 194)
SETTINGS = Settings(SpotConfig())


class StubModel:
    adapts, views = True, ()

    def __init__(self, apex_policy="given", labels="3", classes=CLASSES):
        self.classes = classes
        self.about = {"motion": {"apex_policy": apex_policy}, "method": "lightman", "labels": labels}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("support")
    write_video(folder / SMILE.name, SMILE)
    (folder / "images").mkdir()
    (video,) = find_videos([str(folder / SMILE.name)])
    for number, (frame, _) in enumerate(read_frames(video), start=1):
        if number >= 8:
            write_image(folder / "images" / f"img{number}.png", frame)
    return folder


def read(folder, text, model=None):
    (folder / "support.csv").write_text(text)
    return read_support(folder / "support.csv", model or StubModel(), SETTINGS)


def expected(folder, name, span):
    (video,) = find_videos([str(folder / name)])
    settings = SETTINGS._replace(box=FaceBox(*BOX, "given"), span=span)
    return model_image(StubModel(), find_movements(video, settings).movements[0])


def test_the_columns_of_a_user_table_are_read_under_all_their_spellings(folder):
    table = (
        "Filename;Subject;Emotion;Path;Onset;Apex;Offset;FPS;Box\n"
        "c1;p1;positive;smile.avi;12;15;17;50;104 218 194\n"
        "c2;p1;positive;images;12;15;17;50;104 218 194\n"
    )
    support = read(folder, table)
    # The frame numbers of a folder are those in the names of its images, which begin at 8.
    assert [line.split(", frames ")[1] for line in support.lines] == ["12-15-17", "5-8-10"]
    assert support.label.tolist() == [CLASSES.index("positive")] * 2
    np.testing.assert_array_equal(support.images[0], expected(folder, "smile.avi", (12, 15, 17)))
    np.testing.assert_array_equal(support.images[1], expected(folder, "images", (5, 8, 10)))
    # The same table is a corpus to train on.
    (folder / "support.csv").rename(folder / "clips.csv")
    reading = read_corpus("table", folder)
    (folder / "clips.csv").unlink()
    assert reading.problems == ()
    assert [clip.numbers[clip.apex] for clip in reading.clips] == [15, 15]


def test_a_path_in_another_spelling_is_found(folder):
    support = read(folder, "path,label,onset,apex,offset\nSmile.AVI,positive,12,15,17\n")
    assert support.lines == ("Smile.AVI as positive, frames 12-15-17",)


@pytest.mark.parametrize(("policy", "apex"), [("given", 20), ("spot", 20)])
def test_a_missing_apex_follows_the_policy_of_the_model(folder, policy, apex):
    support = read(folder, "path,label,onset,offset,box\nsmile.avi,positive,12,29,104 218 194\n", StubModel(policy))
    found = int(support.lines[0].split("-")[1])
    assert abs(found - apex) <= (0 if policy == "given" else 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("path,label,fps\nsmile.avi,positive,fast\n", "line 2: smile.avi: fps is 'fast'"),
        ("path,label,box\nsmile.avi,positive,1 2\n", "line 2: smile.avi: box is '1 2'"),
        (
            "path,label,onset\nsmile.avi,positive,3\n",
            "give the onset and the apex or offset, or leave all three cells empty",
        ),
        ("path,label\nTWO,positive\n", "found 'Two' and 'two'|found 'two' and 'Two'"),
        ("path,label,onset,apex\nimages,positive,3,20\n", "the images are numbered 8 to 40"),
        ("path,label\n,positive\n", "line 2: : the path is missing"),
        ("path,label\n", "has no rows; --support needs the columns path and label"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(folder, row, message):
    for name in ("two", "Two"):
        (folder / name).mkdir(exist_ok=True)
    with pytest.raises(ConfigError, match=message):
        read(folder, row)


DIALECTS = {
    "semicolons": ("support.csv", lambda rows: "\n".join(map(";".join, rows)).encode()),
    "tabs": ("support.tsv", lambda rows: "\r\n".join(map("\t".join, rows)).encode()),
    "UTF-16": ("support.txt", lambda rows: "\n".join(map(",".join, rows)).encode("utf-16")),
    "byte-order mark": ("support.csv", lambda rows: "\n".join(map(",".join, rows)).encode("utf-8-sig")),
}


@pytest.mark.parametrize("dialect", [*DIALECTS, "workbook"])
def test_tables_of_other_dialects_are_read(folder, dialect):
    rows = [
        ["Filename", "Emotion", "Path", "Onset", "Apex", "Offset"],
        ["c1", "Positive", "smile.avi", "12", "15", "17"],
    ]
    if dialect == "workbook":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([int(cell) if cell.isdigit() else cell for cell in row])
        path = folder / "support.xlsx"
        book.save(path)
    else:
        name, write = DIALECTS[dialect]
        path = folder / name
        path.write_bytes(write(rows))
    support = read_support(path, StubModel(), SETTINGS)
    assert support.label.tolist() == [CLASSES.index("positive")]
    *notes, clip = support.lines
    assert clip == "smile.avi as positive (written 'Positive'), frames 12-15-17"
    assert all("read as" in note or "is a text table" in note for note in notes)


def labels_of(folder, labels, model):
    rows = "".join(f"smile.avi,{label},12,15,17,104 218 194\n" for label in labels)
    return [model.classes[k] for k in read(folder, f"path,label,onset,apex,offset,box\n{rows}", model).label]


@pytest.mark.parametrize(
    ("labels", "classes", "written", "expected"),
    [
        (
            "3",
            CLASSES,
            ["POSITIVE", " surprised", "Happy", "disgust"],
            ["positive", "surprise", "positive", "negative"],
        ),
        ("4", (*CLASSES, "others"), ["Other", "tense"], ["others", "others"]),
        ("5", ("happiness", "others"), ["Joy", "other"], ["happiness", "others"]),
        (
            "own",
            ("Joy", "joy", "Left smirk", "1"),
            ["joy", "Joy", "left  SMIRK", "1.0"],
            ["joy", "Joy", "Left smirk", "1"],
        ),
    ],
)
def test_labels_are_classes_in_any_spelling(folder, labels, classes, written, expected):
    assert labels_of(folder, written, StubModel(labels=labels, classes=classes)) == expected


@pytest.mark.parametrize(
    ("labels", "classes", "written"),
    [
        ("own", ("Joy", "joy", "anger"), "JOY"),
        ("own", CLASSES, "happiness"),
        ("", CLASSES, "happiness"),
        ("3", CLASSES, "bored"),
        ("5", ("happiness", "others"), "tense"),
    ],
)
def test_labels_of_no_class_or_of_several_are_refused_with_the_classes(folder, labels, classes, written):
    with pytest.raises(ConfigError, match=rf"line 2: label '{written}' is unknown; choose one of {', '.join(classes)}"):
        labels_of(folder, [written], StubModel(labels=labels, classes=classes))


def test_a_table_of_several_subjects_is_refused_and_spellings_of_one_are_reported(folder):
    row = "smile.avi,positive,12,15,17,104 218 194"
    head = "subject,path,label,onset,apex,offset,box"
    with pytest.raises(ConfigError, match=r"lists clips of 2 subjects \(anna, ben\)"):
        read(folder, f"{head}\nanna,{row}\nben,{row}\n")
    support = read(folder, f"{head}\nAnna,{row}\nanna,{row}\n")
    assert support.lines[0] == "one subject in several spellings: Anna, anna"
    assert len(support.label) == 2
