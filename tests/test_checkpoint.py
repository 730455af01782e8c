"""A checkpoint is what was written, or it is refused: every flipped bit is noticed and its file named."""

import json

import jax
import numpy as np
import pytest

from lightman_jax import checkpoint
from lightman_jax.checkpoint import load_params, save_params

PARAMS = {"backbone": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}, "head": np.ones(4, np.float32)}


@pytest.fixture
def saved(tmp_path):
    save_params(tmp_path / "seed_0", 7, PARAMS, {"data": "invented"})
    return tmp_path / "seed_0"


def test_parameters_come_back_with_what_they_were_saved_with(saved):
    step, params, metadata = load_params(saved, PARAMS)
    assert step == 7
    assert metadata["data"] == "invented"
    assert jax.tree.all(jax.tree.map(np.array_equal, params, PARAMS))
    assert [path.name for path in saved.parent.iterdir()] == ["seed_0"], "nothing is left beside it"


def test_every_flipped_bit_is_noticed_and_its_file_named(saved):
    rng = np.random.default_rng(0)
    files = [path for path in saved.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) > 3
    for trial in range(100):
        path = files[trial % len(files)]
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"run the same command again|format version") as error:
            load_params(saved, PARAMS)
        assert path.name in str(error.value) or path.name == checkpoint._DIGESTS
        path.write_bytes(whole)
    load_params(saved, PARAMS)


def test_a_missing_or_added_file_and_another_version_are_refused(saved):
    listed = saved / checkpoint._DIGESTS
    content = json.loads(listed.read_text())
    (saved / "more").write_text("x")
    with pytest.raises(ValueError, match="more is not as it was written"):
        load_params(saved, PARAMS)
    (saved / "more").unlink()
    listed.write_text(json.dumps(content | {"format_version": 1}))
    with pytest.raises(ValueError, match="format version 1, this release reads 2; train again"):
        load_params(saved, PARAMS)
    listed.unlink()
    with pytest.raises(ValueError, match="holds no whole checkpoint of this release"):
        load_params(saved, PARAMS)


def test_a_write_that_is_broken_off_leaves_the_older_checkpoint(saved, monkeypatch):
    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_digests", killed)
        with pytest.raises(KeyboardInterrupt):
            save_params(saved, 8, PARAMS, {})
    assert load_params(saved, PARAMS)[0] == 7
    save_params(saved, 9, PARAMS, {})
    assert load_params(saved, PARAMS)[0] == 9
    assert [path.name for path in saved.parent.iterdir()] == ["seed_0"]
