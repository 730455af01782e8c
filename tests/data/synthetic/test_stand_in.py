"""Stand-in data: synthetic clips in the layout of a corpus, read by the reader of the corpus and marked as synthetic."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.corpora.labels import assign_labels
from lightman_jax.data.preparation.check import check_reading
from lightman_jax.data.preparation.clip_cache import ClipCache
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.preparation.prepare import prepare_clips
from lightman_jax.data.preparation.representation import MotionConfig
from lightman_jax.data.records import MARKER
from lightman_jax.data.synthetic.faces import SimulatorConfig
from lightman_jax.data.synthetic.stand_in import write_stand_in

SMALL = SimulatorConfig(subjects=2, micro_clips=1, macro_clips=1, frames=5, side=48)


@pytest.fixture
def tree(tmp_path):
    return write_stand_in(tmp_path / "raw", "smic", SMALL)


def test_the_stand_in_is_marked_as_invented_from_the_files_to_the_arrays(tree, tmp_path):
    assert (tree / MARKER).exists()
    assert len(list((tree / "SMIC_all_cropped" / "HS" / "s1" / "micro" / "negative" / "s1_ne_01").iterdir())) == 5
    assert read_corpus("smic", tree / "SMIC_all_cropped").stand_in, "the marker must apply to folders below it"
    checked = check_reading(*assign_labels(read_corpus("smic", tree), "3", ("smic",)), ClipCache(tmp_path / "clips"))
    out, cache = tmp_path / "out", ClipCache(tmp_path / "clips")
    prepare_clips(checked, out, dataset="smic", config=MotionConfig(), cache=cache)
    loaded = load_clips(out)
    assert loaded.manifest.stand_in
    assert loaded.manifest.dataset == "smic_stand_in"
    assert "synthetic" in loaded.manifest.origin
    assert "synthetic" in tfds.builder_from_directory(out).info.description
    assert (len(loaded.micro), len(loaded.macro)) == (6, 6)
    assert set(loaded.micro.dataset) == {"smic_stand_in"}
    assert set(loaded.micro.subject) == set(loaded.macro.subject)
    strain = [np.median(pool.image[..., 2]) for pool in (loaded.micro, loaded.macro)]
    assert strain[1] > 1.5 * strain[0], "macro clips must move further than micro clips"


def test_the_same_settings_write_the_same_files(tree, tmp_path):
    again = write_stand_in(tmp_path / "again", "smic", SMALL)
    paths = sorted(tree.rglob("*.bmp"))
    assert len(paths) == 60
    for path in paths:
        assert path.read_bytes() == (again / path.relative_to(tree)).read_bytes()
