"""SMIC trees, the flow release, and published counts."""

import os
from pathlib import Path

import numpy as np
import pytest

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.labels import label_space, published
from lightman_jax.data.corpora.registry import CORPORA, DATASETS
from lightman_jax.data.records import DataError
from lightman_jax.data.vision.images import write_image
from tests.inputs import write_flow_release

TABLE = "combined_3_class2_for_optical_flow.csv"


def write_smic(root, subjects=("s1", "s02"), prefix="reg_image", start=559740, frames=5):
    rng = np.random.default_rng(0)
    for subject in subjects:
        for label, code in (("negative", "ne"), ("positive", "po"), ("surprise", "sur")):
            clip = root / subject / "micro" / label / f"{subject}_{code}_01"
            clip.mkdir(parents=True)
            for row in range(frames):
                write_image(clip / f"{prefix}{start + row}.bmp", rng.integers(0, 255, (20, 20, 3)).astype(np.uint8))
    return root


def test_smic_accepts_padded_and_upper_case_names_and_ignores_stray_files(tmp_path):
    write_smic(tmp_path / "SMIC_all_cropped" / "HS", subjects=("s1", "S02"))
    clip = tmp_path / "SMIC_all_cropped" / "HS" / "s1" / "micro" / "negative" / "s1_ne_01"
    (clip / "Thumbs.db").write_bytes(b"x")
    (clip / "reg_image559739.bmp").write_bytes((clip / "reg_image559740.bmp").read_bytes())
    reading = read_corpus("smic", tmp_path)
    assert [c.clip for c in reading.clips[:2]] == ["smic/s1/s1_ne_01", "smic/s1/s1_po_01"]
    assert {c.subject for c in reading.clips} == {"smic/s1", "smic/s2"}
    first = next(c for c in reading.clips if c.clip == "smic/s1/s1_ne_01")
    assert len(first.paths) == 6
    assert first.paths[0].name == "reg_image559739.bmp"
    assert first.numbers == tuple(range(559739, 559745))
    assert first.apex is None
    assert first.cropped
    assert not reading.stand_in


def test_smic_prefers_cropped_copies_to_raw_ones(tmp_path):
    write_smic(tmp_path / "SMIC_all_raw" / "HS", prefix="image")
    assert not read_corpus("smic", tmp_path).clips[0].cropped
    write_smic(tmp_path / "SMIC_all_cropped" / "HS")
    assert read_corpus("smic", tmp_path).clips[0].cropped
    assert not read_corpus("smic", tmp_path / "SMIC_all_raw" / "HS").clips[0].cropped


def test_smic_lists_problems_and_reads_the_other_clips(tmp_path):
    root = write_smic(tmp_path / "HS")
    (root / "s1" / "micro" / "negative" / "s1_ne_09").mkdir()
    (root / "s1" / "micro" / "happy" / "s1_ha_01").mkdir(parents=True)
    reading = read_corpus("smic", tmp_path)
    assert len(reading.clips) == 6
    reasons = " ".join(problem.reason for problem in reading.problems)
    assert "an empty folder" in reasons
    assert "'happy'" in reasons


def test_unknown_subject_is_reported_once(tmp_path):
    write_smic(tmp_path / "HS", subjects=("s1", "s7"))
    reading = read_corpus("smic", tmp_path)
    assert len(reading.clips) == 6
    (problem,) = reading.problems
    assert "unknown subject s7" in problem.reason
    assert not problem.lost


def test_frames_are_sorted_by_number(tmp_path):
    root = write_smic(tmp_path / "HS", start=8)
    clip = next(c for c in read_corpus("smic", tmp_path).clips if c.clip == "smic/s1/s1_ne_01")
    assert [path.stem for path in clip.paths] == [f"reg_image{n}" for n in range(8, 13)]
    assert root.exists()


def test_flow_release_accepts_blanks_in_names_and_missing_parts(tmp_path):
    write_flow_release(tmp_path, corpora=("smic", "casme2"))
    assert len(read_corpus("smic", tmp_path).clips) == 18
    both = read_corpus("megc2019", tmp_path)
    assert {c.subject.split("/")[0] for c in both.clips} == {"smic", "casme2"}
    assert "smic/s1/s1_ne_01" in {c.clip for c in both.clips}
    for path in (tmp_path / "STSNet_whole_norm_u_v_os").glob("sub*"):
        path.unlink()
    assert {c.subject.split("/")[0] for c in read_corpus("megc2019", tmp_path).clips} == {"smic"}
    next((tmp_path / "STSNet_whole_norm_u_v_os").glob("s01*")).unlink()
    assert any("1 listed clips of smic have no image" in note for note in read_corpus("smic", tmp_path).notes)
    with pytest.raises(DataError, match=r"holds no clip of CASME II.*Looked for.*found.*ask the Institute"):
        read_corpus("casme2", tmp_path)


def test_faults_of_the_flow_release_are_reported(tmp_path):
    write_flow_release(tmp_path)
    table = tmp_path / TABLE
    good = table.read_text()
    lines = good.splitlines()
    table.write_text("\n".join([lines[0], lines[1].replace(",0,", ",7,", 1), *lines[2:], lines[2]]) + "\n")
    reading = read_corpus("smic", tmp_path)
    assert "line 2" in reading.problems[0].where
    assert "'7'" in reading.problems[0].reason
    assert "line 3 already" in reading.problems[1].reason
    table.write_text(good.replace("label", "emotion", 1))
    with pytest.raises(
        DataError,
        match=r"no row that names the columns dataset, sub, filenameo, label; found dataset, sub, filename_o, emotion",
    ):
        read_corpus("smic", tmp_path)
    table.unlink()
    with pytest.raises(DataError, match=f"has no table {TABLE}"):
        read_corpus("smic", tmp_path)


def test_wrong_folder_error_lists_expected_and_found_files_and_the_source(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_corpus("smic", tmp_path / "nowhere")
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"Looked for .*HS/s1/micro.* or the public flow release.*found holiday.jpg.*University of Oulu"
    ):
        read_corpus("smic", tmp_path)


def test_published_counts_of_the_corpora_add_up_to_the_composites():
    space = label_space("3", ("smic",))
    known = [published(name, space) for name in DATASETS["megc2019"].corpora]
    assert [k.counts for k in known] == [(70, 51, 43), (88, 32, 25), (92, 26, 15)]
    assert [k.subjects for k in known] == [16, 24, 28]
    objective = [published(name, label_space("objective", ())) for name in DATASETS["megc2018"].corpora]
    assert [sum(k.counts) for k in objective] == [185, 68]
    assert sum(k.subjects for k in objective) == 47
    assert {name: CORPORA[name].clips for name in ("casme2", "samm", "casme3", "mmew", "dfme", "ck_plus")} == {
        "casme2": 255,
        "samm": 159,
        "casme3": 860,
        "mmew": 300,
        "dfme": 1856,
        "ck_plus": 327,
    }


@pytest.mark.skipif(not os.environ.get("LIGHTMAN_FLOW"), reason="LIGHTMAN_FLOW is not the folder of the flow release")
def test_real_flow_release_has_the_published_counts():
    reading = read_corpus("megc2019", Path(os.environ["LIGHTMAN_FLOW"]))
    assert not reading.problems
    for name in {clip.subject.split("/")[0] for clip in reading.clips}:
        own = [clip for clip in reading.clips if clip.subject.startswith(f"{name}/")]
        counts = tuple(sum(clip.emotion == label for clip in own) for label in ("negative", "positive", "surprise"))
        assert (counts, len({clip.subject for clip in own})) == published(name, label_space("3", (name,)))
