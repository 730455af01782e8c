"""Prepared data: complete or absent, readable without the package, checked when read again; the stand-in on the same path."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.catalog import MARKER
from lightman_jax.data.corpora.labels import assign_labels
from lightman_jax.data.corpora.records import DataError
from lightman_jax.data.preparation.check import check_reading
from lightman_jax.data.preparation.clip_cache import ClipStore
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.preparation.prepare import MANIFEST, check_prepared, prepare_clips, source_fingerprint
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.synthetic.faces import SimulatorConfig, action_unit_field
from lightman_jax.data.synthetic.stand_in import write_stand_in
from lightman_jax.files import read_sealed_json, write_sealed_json
from tests.inputs import write_flow_release

CONFIG = MotionConfig()


def read(folder):
    return assign_labels(read_corpus("smic", folder), "3", ("smic",))


def prepare(folder, out, **more):
    store = ClipStore(out.parent / "clips")
    return prepare_clips(check_reading(*read(folder), store), out, dataset="smic", config=CONFIG, store=store, **more)


def fingerprint(folder, config=CONFIG):
    return source_fingerprint(*read(folder), config)


@pytest.fixture
def release(tmp_path):
    return write_flow_release(tmp_path / "release")


def test_shards_hold_what_was_read_and_open_without_the_package(release, tmp_path):
    reading, _ = read(release)
    manifest = prepare(release, tmp_path / "out")
    loaded = load_clips(tmp_path / "out")
    assert len(loaded.micro) == len(reading.clips) == manifest["clips"]["micro"]
    assert loaded.macro is None
    names = ("negative", "positive", "surprise")
    assert {c: names[i] for c, i in zip(loaded.micro.clip, loaded.micro.label, strict=True)} == {
        c.clip: c.label for c in reading.clips
    }
    plain = tfds.builder_from_directory(tmp_path / "out").as_data_source()["micro"]
    np.testing.assert_array_equal(plain[3]["image"], loaded.micro.image[3])
    assert set(manifest["sources"]) == {str(c.paths[0].relative_to(reading.root)) for c in reading.clips}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "out", "release"], (
        "no temporary folder may stay behind"
    )


def test_a_broken_picture_is_listed_and_the_others_are_kept(release, tmp_path):
    reading, _ = read(release)
    reading.clips[4].paths[0].write_bytes(b"broken")
    manifest = prepare(release, tmp_path / "out")
    (problem,) = manifest["problems"]
    assert problem["where"].startswith(reading.clips[4].clip)
    assert problem["lost"]
    assert manifest["clips"]["micro"] == len(reading.clips) - 1
    for clip in reading.clips:
        clip.paths[0].write_bytes(b"broken")
    with pytest.raises(DataError, match="no usable micro-expression clip"):
        prepare(release, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_fingerprint_follows_content_labels_and_settings(release):
    reading, _ = read(release)
    before = fingerprint(release)
    assert before == fingerprint(release)
    assert before != fingerprint(release, MotionConfig(face_side=64))
    table = release / "combined_3_class2_for_optical_flow.csv"
    table.write_text(table.read_text().replace(",0,,", ",1,,", 1))
    labelled = fingerprint(release)
    assert before != labelled
    reading.clips[0].paths[0].write_bytes(reading.clips[1].paths[0].read_bytes() + b" ")
    assert labelled != fingerprint(release)


def test_changed_missing_and_foreign_shards_are_refused(release, tmp_path):
    out = tmp_path / "out"
    prepare(release, out)
    shard = next(out.glob("*array_record*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=f"{shard.name} is missing or changed"):
        load_clips(out)
    write_sealed_json(out / MANIFEST, read_sealed_json(out / MANIFEST) | {"format_version": 0})
    with pytest.raises(DataError, match="format version 0"):
        load_clips(out)
    (out / MANIFEST).write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is missing or damaged"):
        load_clips(out)


def test_every_flipped_bit_of_a_prepared_folder_is_noticed_and_its_file_named(release, tmp_path):
    out = tmp_path / "out"
    prepare(release, out)
    rng = np.random.default_rng(0)
    written = sorted(path for path in out.iterdir() if path.stat().st_size)
    assert len(written) > 3
    for trial in range(100):
        path = written[trial % len(written)]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"{path.name} is (missing or (changed|damaged)|not as it was written)"):
            check_prepared(out)
        path.write_bytes(whole)
    check_prepared(out)


def test_the_stand_in_is_read_by_the_corpus_reader_and_says_what_it_is(tmp_path):
    config = SimulatorConfig(subjects=2, micro_clips=1, macro_clips=1, frames=5, side=48)
    write_stand_in(tmp_path / "raw", "smic", config)
    assert (tmp_path / "raw" / MARKER).exists()
    frames = list((tmp_path / "raw" / "SMIC_all_cropped" / "HS" / "s1" / "micro" / "negative" / "s1_ne_01").iterdir())
    assert len(frames) == 5
    reading = read_corpus("smic", tmp_path / "raw" / "SMIC_all_cropped")
    assert reading.stand_in, "the mark must hold for a folder below it"
    prepare(tmp_path / "raw", tmp_path / "out")
    loaded = load_clips(tmp_path / "out")
    assert loaded.manifest["dataset"] == "smic_stand_in"
    assert "invented" in loaded.manifest["origin"]
    assert "invented" in tfds.builder_from_directory(tmp_path / "out").info.description
    assert (len(loaded.micro), len(loaded.macro)) == (6, 6)
    assert set(loaded.micro.dataset) == {"smic_stand_in"}
    assert set(loaded.micro.subject) == set(loaded.macro.subject)
    strain = [np.median(pool.image[..., 2]) for pool in (loaded.micro, loaded.macro)]
    assert strain[1] > 1.5 * strain[0], "macro clips must move further than micro clips"
    write_stand_in(tmp_path / "again", "smic", config)
    for path in sorted((tmp_path / "raw").rglob("*.bmp")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "raw")).read_bytes()


@pytest.mark.parametrize(
    ("unit", "row", "sign_u_left", "sign_v"),
    [(1, 0.22, 0, -1), (4, 0.22, 1, 1), (12, 0.69, -1, -1), (15, 0.71, -1, 1), (26, 0.86, 0, 1)],
)
def test_action_units_pull_the_way_the_coding_system_says(unit, row, sign_u_left, sign_v):
    field = action_unit_field({unit: (1.0, 1.0)}, 100)
    np.testing.assert_allclose(field[:, ::-1] * [-1, 1], field, atol=1e-12)
    strongest = np.hypot(*np.moveaxis(field[:, :50], -1, 0)).argmax()
    top, left = divmod(int(strongest), 50)
    assert abs((top + 0.5) / 100 - row) < 0.03
    u, v = field[top, left]
    assert np.sign(np.round(v, 3)) == sign_v
    if sign_u_left:
        assert np.sign(u) == sign_u_left
