"""The registry of corpora: adding one, spellings of ids, subject pools, and file types shared with prediction."""

import numpy as np
import pytest

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.base import Corpus, Exclusion, Published
from lightman_jax.data.corpora.labels import assign_labels, label_space, published
from lightman_jax.data.corpora.registry import CORPORA, DATASETS, MACRO_CORPORA
from lightman_jax.data.corpora.user_table import read_rows, row_box, row_fps, row_path
from lightman_jax.data.folders.trees import IMAGE_SUFFIXES, VIDEO_SUFFIXES, folders, list_frames
from lightman_jax.data.records import DataError
from lightman_jax.data.vision.images import write_image
from lightman_jax.data.vision.video import find_videos


def read_toy(collector):
    for subject in folders(collector.tree):
        for clip in folders(subject):
            collector.add_folder(clip, subject.name, emotion=clip.name.split("_")[0])


def test_new_corpus_needs_one_object_and_one_registry_entry(tmp_path, monkeypatch):
    toy = Corpus(
        name="toy",
        title="Toy corpus",
        obtain="write it",
        looked_for="folders p1/happiness_1",
        find=lambda data_dir: [data_dir] if (data_dir / "p1").is_dir() else [],
        read=read_toy,
        subject_format="p{:02d}",
        fps=50,
        emotions={"boredom": 1, "disgust": 2, "happiness": 1},
        subjects=2,
        classes={"5": ("boredom", "disgust", "happiness")},
        excluded=(Exclusion("p02/disgust_2", ("3",), counted_as="negative"),),
    )
    monkeypatch.setitem(CORPORA, "toy", toy)
    with pytest.raises(
        DataError, match=r"no clip of Toy corpus. Looked for folders p1/happiness_1; found nothing.*write it"
    ):
        read_corpus("toy", tmp_path)
    for name in ("p1/happiness_1", "p1/disgust_1", "p2/disgust_2", "p2/boredom_1", "p2/anger_1"):
        (tmp_path / name).mkdir(parents=True)
        for number in (1, 2, 3):
            write_image(tmp_path / name / f"{number}.png", np.full((8, 8, 3), 60 * number, np.uint8))
    reading = read_corpus("toy", tmp_path)
    assert [problem.where for problem in reading.problems] == ["p2/anger_1"]
    assert [clip.clip for clip in reading.clips] == [
        "toy/p01/disgust_1",
        "toy/p01/happiness_1",
        "toy/p02/boredom_1",
        "toy/p02/disgust_2",
    ]
    assert {(clip.subject, clip.fps) for clip in reading.clips} == {("toy/p01", 50), ("toy/p02", 50)}
    labelled, three = assign_labels(reading, "3", ("toy",))
    assert [clip.label for clip in labelled.clips] == ["negative", "positive"]
    assert published("toy", three) == Published((1, 1, 0), 2)
    assert label_space("5", ("toy",)).classes == ("boredom", "disgust", "happiness")


def test_every_corpus_has_a_pool_and_is_a_dataset_or_a_macro_corpus():
    for name, corpus in CORPORA.items():
        assert name == corpus.name
        assert (name in DATASETS) == ("micro" in corpus.pools)
        assert (name in MACRO_CORPORA) == ("macro" in corpus.pools)
        assert corpus.pools
        assert corpus.looked_for or name == "simulated_au"
    assert [name for name in DATASETS if name not in CORPORA] == ["megc2018", "megc2019"]


def test_corpora_of_the_same_subjects_share_a_subject_pool():
    pools = {name: corpus.subject_pool for name, corpus in CORPORA.items() if corpus.subject_pool != name}
    smic = ("smic_vis", "smic_nir", "smic_e", "smic_e_vis", "smic_e_nir")
    assert pools == {**dict.fromkeys(smic, "smic"), "samm_long": "samm"}


@pytest.mark.parametrize(
    ("corpus", "spellings", "subject"),
    [
        ("smic", ("s01", "S1", " 1 "), "s1"),
        ("smic_e_nir", ("s01",), "s1"),
        ("casme", ("sub5", "05"), "sub05"),
        ("casme2", ("sub5", "5"), "sub05"),
        ("samm", ("6", "006"), "006"),
        ("samm_long", ("6",), "006"),
        ("mmew", ("S3",), "S03"),
        ("casme_squared", ("s015", "15"), "s15"),
        ("casme3", ("spNO.1", "spno.01"), "spno.1"),
        ("casme3_c", ("1",), "c1"),
        ("4dme", ("01",), "1"),
        ("dfme", ("3",), "sub0003"),
        ("ck_plus", ("s5",), "S005"),
        ("oulu_casia", ("P1",), "P001"),
        ("table", (" p01 ",), "p01"),
    ],
)
def test_spellings_of_a_subject_have_one_id(corpus, spellings, subject):
    assert {CORPORA[corpus].normal_subject(text) for text in spellings} == {subject}


def test_spellings_of_a_clip_have_one_name():
    assert {CORPORA["smic"].normal_clip(text) for text in ("s03_PO_2", " s3_po_02", "S3_po_2")} == {"s3_po_02"}
    assert CORPORA["casme2"].normal_clip(" EP02_01f") == "EP02_01f"


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
def test_user_tables_and_prediction_accept_the_same_files(tmp_path, suffix):
    plain = tmp_path / "1.png"
    write_image(plain, np.zeros((8, 8, 3), np.uint8))
    file = plain.rename(tmp_path / f"1{suffix.upper()}")
    table = f"clip,subject,label,path,onset,offset\nc,p,positive,{file.name},1,2\n"
    (tmp_path / "clips.csv").write_text(table)
    (clip,) = read_corpus("table", tmp_path).clips
    assert clip.kind == ("frames" if suffix in IMAGE_SUFFIXES else "video")
    assert clip.paths == (file.resolve(),)
    assert [video.name for video in find_videos([str(tmp_path)])] == [
        str(tmp_path if suffix in IMAGE_SUFFIXES else file)
    ]
    assert list_frames(tmp_path).paths == ((file,) if suffix in IMAGE_SUFFIXES else ())


def test_user_table_has_one_set_of_column_names_for_corpora_and_labelled_clips(tmp_path):
    path = tmp_path / "clips.csv"
    place = "/".join(["folder"] * 40)
    path.write_text(f"Path;Emotion;Onset Frame;Frame rate;Box\n{place};positive;3;29.97;1 2 30\na\\b;negative;/;;\n")
    first, second = read_rows(path, required=("path", "label")).rows
    assert (row_path(first), first.text("label"), first.number("onset"), first.number("apex")) == (
        place,
        "positive",
        3,
        None,
    )
    assert (row_fps(first), row_box(first)) == (29.97, (1, 2, 30))
    assert (row_path(second), second.number("onset"), row_fps(second), row_box(second)) == ("a/b", None, None, None)
    with pytest.raises(
        DataError, match="no row that names the columns clip, subject, label, path; found Path, Emotion"
    ):
        read_rows(path)
    path.write_text("path,label,rate,box\na,positive,fast,1 2\n")
    (row,) = read_rows(path, required=("path", "label")).rows
    with pytest.raises(ValueError, match="fps is 'fast'"):
        row_fps(row)
    with pytest.raises(ValueError, match="box is '1 2'"):
        row_box(row)


def test_user_table_reports_columns_and_cells_that_it_cannot_read(tmp_path):
    for number in (1, 2):
        write_image(tmp_path / f"{number}.png", np.full((8, 8, 3), 60 * number, np.uint8))
    header = "clip,subject,label,path,rate,box,pool,colour\n"
    rows = ("a,p,positive,.,fast,1 2,,red", "b,p,positive,.,25,1 2 3,macro,red", "c,p,positive,.,25,,both,red")
    (tmp_path / "clips.csv").write_text(header + "\n".join(rows) + "\n")
    reading = read_corpus("table", tmp_path)
    assert [(clip.clip, clip.pool, clip.fps, clip.box) for clip in reading.clips] == [
        ("table/p/a", "micro", 0, None),
        ("table/p/b", "macro", 25, (1, 2, 3)),
    ]
    assert [(problem.expected.split(" of ")[0], problem.lost) for problem in reading.problems] == [
        ("columns", False),
        ("a number", False),
        ("box as top left side", False),
        ("pool micro or macro", True),
    ]
