"""Prepared folders: complete or absent, readable without the package, and refused when damaged or of another format."""

import dataclasses
import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.labels import LabelSpace, assign_labels
from lightman_jax.data.preparation import tfds_builder
from lightman_jax.data.preparation.check import Check, check_reading
from lightman_jax.data.preparation.clip_cache import ClipCache
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.preparation.manifest import MANIFEST, Manifest, read_manifest
from lightman_jax.data.preparation.prepare import prepare_clips, source_fingerprint
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.preparation.tfds_builder import write_dataset
from lightman_jax.data.records import DataError, Problem, RawClip, Reading
from lightman_jax.files import read_checksummed_json, write_checksummed_json
from tests.inputs import write_flow_release

CONFIG = MotionConfig()


def read(folder):
    return assign_labels(read_corpus("smic", folder), "3", ("smic",))


def prepare(folder, out):
    cache = ClipCache(out.parent / "clips")
    return prepare_clips(check_reading(*read(folder), cache), out, dataset="smic", config=CONFIG, cache=cache)


def fingerprint(folder, config=CONFIG):
    # The cache of inspections is next to the data and empty for new ones: files are read, whatever their times.
    check = check_reading(*read(folder), ClipCache(folder.absolute().parent / "inspections"))
    return source_fingerprint(check, config)


@pytest.fixture
def release(tmp_path):
    return write_flow_release(tmp_path / "release")


def test_a_prepared_folder_has_all_clips_and_opens_without_the_package(release, tmp_path):
    reading, _ = read(release)
    manifest = prepare(release, tmp_path / "out")
    loaded = load_clips(tmp_path / "out")
    assert len(loaded.micro) == len(reading.clips) == manifest.clips["micro"]
    assert loaded.macro is None
    names = ("negative", "positive", "surprise")
    assert {c: names[i] for c, i in zip(loaded.micro.clip, loaded.micro.label, strict=True)} == {
        c.clip: c.label for c in reading.clips
    }
    plain = tfds.builder_from_directory(tmp_path / "out").as_data_source()["micro"]
    np.testing.assert_array_equal(plain[3]["image"], loaded.micro.image[3])
    assert set(manifest.sources) == {str(c.paths[0].relative_to(reading.root)) for c in reading.clips}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "out", "release"], (
        "no temporary folder may stay behind"
    )


def test_a_folder_of_any_name_is_prepared_and_loaded(release, tmp_path):
    out = tmp_path / "study [v1] ** \udcff" / "out"
    manifest = prepare(release, out)
    assert len(load_clips(out).micro) == manifest.clips["micro"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["clips", "out"]


def test_the_manifest_is_the_same_after_a_round_trip_through_json(release, tmp_path):
    manifest = prepare(release, tmp_path / "out")
    assert read_manifest(tmp_path / "out") == manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    assert manifest.motion == CONFIG
    assert manifest.counts[0].found == dict.fromkeys(manifest.classes, 6)


def test_a_broken_image_is_listed_and_the_other_clips_are_prepared(release, tmp_path):
    reading, _ = read(release)
    reading.clips[4].paths[0].write_bytes(b"broken")
    manifest = prepare(release, tmp_path / "out")
    (problem,) = manifest.problems
    assert problem.where.startswith(reading.clips[4].clip)
    assert problem.lost
    assert manifest.clips["micro"] == len(reading.clips) - 1
    for clip in reading.clips:
        clip.paths[0].write_bytes(b"broken")
    with pytest.raises(DataError, match="no usable micro-expression clip"):
        prepare(release, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_fingerprint_depends_on_files_labels_and_settings(release):
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


def test_a_copy_of_the_data_has_the_same_fingerprint_by_any_spelling_of_its_place(release, tmp_path, monkeypatch):
    before = fingerprint(release)
    moved = tmp_path / "other place" / "renamed"
    shutil.copytree(release, moved, copy_function=shutil.copyfile)
    shutil.rmtree(release)
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(moved.parent)
    for place in (
        moved,
        Path("renamed"),
        moved.parent / ".." / "other place" / "renamed",
        tmp_path / "link",
        Path("../link"),
    ):
        assert fingerprint(place) == before


NAMES = st.text("aZ7 _.-+()[]{}*?^$|&;é山", min_size=1, max_size=8).filter(lambda name: name.strip(".") != "")
FOLDERS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: Path(*names))


def checked_at(root, macro):
    """A check of one clip of each pool whose texts have absolute paths in them."""
    micro = RawClip("smic/s1/a", "smic/s1", "micro", "frames", (root / "im" / "1.png", root / "im" / "2.png"), (1, 2))
    other = RawClip("ck_plus/s2/b", "ck_plus/s2", "macro", "frames", (macro / "cohn" / "3.png",), (1,))
    denied = Problem(
        f"{root}/im: 1.png", "a file", f"[Errno 13] Permission denied: '{root}/im/1.png'", "give it", lost=False
    )
    notes = (f"read {root}; {root / 'copy'} is not used", f"table {macro}/emotion.csv", "left/right and and/or stay")
    reading = Reading("smic", root, (micro, other), (denied,), notes, (f"{root}/corrections.csv: 1 row",))
    digests = {"im/1.png": "00", "im/2.png": "11", str(macro / "cohn" / "3.png"): "22"}
    return Check(reading, LabelSpace("3", ("a", "b", "c")), (), digests)


@given(*[FOLDERS] * 4)
def test_no_absolute_path_enters_the_fingerprint(first, second, third, fourth):
    own, other = Path("/micro"), Path("/macro")
    before = source_fingerprint(checked_at(own / first, other / second), CONFIG)
    moved = checked_at(own / third, other / fourth)
    assert source_fingerprint(moved, CONFIG) == before
    for name, value in (("im/2.png", "12"), (str(other / fourth / "cohn" / "3.png"), "23")):
        changed = dataclasses.replace(moved, digests=moved.digests | {name: value})
        assert source_fingerprint(changed, CONFIG) != before


def test_two_preparations_of_the_same_clips_have_the_same_digest(release, tmp_path):
    prepare(release, tmp_path / "one")
    prepare(release, tmp_path / "two")
    first, second = load_clips(tmp_path / "one"), load_clips(tmp_path / "two")
    assert first.digest == second.digest
    image = first.micro.image.copy()
    image[0, 0, 0, 0] += 1
    changed = first._replace(micro=dataclasses.replace(first.micro, image=image))
    assert changed.digest != first.digest != first._replace(macro=first.micro).digest


def test_images_that_are_read_when_indexed_are_those_in_memory(release, tmp_path):
    prepare(release, tmp_path / "a [b] *")
    held, read = load_clips(tmp_path / "a [b] *"), load_clips(tmp_path / "a [b] *", most_bytes=0)
    assert (held.is_streamed, read.is_streamed) == (False, True)
    assert held.image_bytes == read.image_bytes == held.micro.image.nbytes
    assert (held.micro.clip, held.micro.subject, held.digest) == (read.micro.clip, read.micro.subject, read.digest)
    images, expected = read.micro.image, held.micro.image
    assert (images.shape, images.dtype, len(images)) == (expected.shape, expected.dtype, len(expected))
    mask = np.arange(len(expected)) % 5 == 0
    for key in (3, -1, [4, 1, 4], slice(2, 9, 3), mask, np.array([[1, 2], [3, 4]]), (mask, 5), (2, 5, slice(3)), []):
        rows = np.asarray(key, int) if isinstance(key, list) else key
        np.testing.assert_array_equal(images[key], expected[rows])
    np.testing.assert_array_equal(np.asarray(images), expected)


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.uint8, (2, 6, 6, 1)), (np.float16, (6, 6, 3)), (np.float32, (2, 6, 6, 3))]
)
def test_images_are_stored_as_they_are_and_few_at_a_time(dtype, shape, tmp_path, monkeypatch):
    alive, most = weakref.WeakValueDictionary(), []
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, size=(40, *shape)).astype(dtype)

    def examples():
        for row, image in enumerate(images):
            alive[row] = own = image.copy()
            most.append(len(alive))
            texts = dict.fromkeys(("subject", "emotion", "action_units", "face"), "x")
            yield {"image": own, "label": "b", "apex": 0, "fps": 25.0, "clip": f"c{row}", **texts}
            del own

    monkeypatch.setattr(tfds_builder, "_BLOCK_BYTES", 4 * images[0].nbytes)
    monkeypatch.setattr(tfds_builder, "_SHARD_BYTES", 12 * images[0].nbytes)
    write_dataset({"micro": examples, "macro": examples}, tmp_path, classes=("a", "b"), description="é \udcff")
    assert len(list(tmp_path.glob("*array_record*"))) == 2 * 4
    assert max(most) <= 2 * 4, "one block is written while the next one is made"
    for pool in ("micro", "macro"):
        source = tfds.builder_from_directory(tmp_path).as_data_source()[pool]
        assert [row["clip"].decode() for row in source] == [f"c{row}" for row in range(40)]
        stored = np.stack([row["image"] for row in source])
        assert stored.dtype == dtype
        np.testing.assert_array_equal(stored, images)


def test_damaged_and_older_folders_are_refused_with_the_command_that_prepares_them(release, tmp_path):
    out = tmp_path / "out"
    prepare(release, out)
    shard = next(out.glob("*array_record*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=f"{shard.name} is missing or changed"):
        load_clips(out)
    write_checksummed_json(out / MANIFEST, read_checksummed_json(out / MANIFEST) | {"format_version": 0})
    with pytest.raises(DataError, match="format version 0, this release reads 8") as refused:
        load_clips(out)
    assert f"python -m experiments.prepare --dataset=smic --data_dir={release.resolve()}" in str(refused.value)
    (out / MANIFEST).write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json is missing or damaged"):
        load_clips(out)


def test_every_flipped_bit_of_a_prepared_folder_is_detected_and_its_file_named(release, tmp_path):
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
        with pytest.raises(DataError, match=f"{path.name} (is missing or (changed|damaged)|does not match)"):
            read_manifest(out)
        path.write_bytes(whole)
    read_manifest(out)
