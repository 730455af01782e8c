"""Readers of arbitrary bytes: they read them or refuse them with a message, and raise no other error."""

import contextlib
import json
import random
import shutil

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import compare
from experiments.cli.config import RunConfig
from experiments.cli.flags import ConfigError
from experiments.evaluation.prediction_table import read_predictions
from experiments.evaluation.records import from_json
from experiments.evaluation.scores import score_predictions
from lightman_jax.data.corpora import read_corpus
from lightman_jax.data.records import DataError, Reading
from lightman_jax.data.synthetic.stand_in_layouts.files import write_xls, write_xlsx
from lightman_jax.data.tables.table import read_sheets
from lightman_jax.data.vision.images import read_image
from lightman_jax.files import read_checksummed, read_checksummed_json, write_checksummed, write_checksummed_json
from lightman_jax.model.checkpoint import load_params, save_params
from tests.fault_injection.mutations import mutate
from tests.inputs import write_flow_release

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELLS = st.text(max_size=12) | st.sampled_from(
    [
        "p1",
        "1",
        "-1",
        "9" * 400,
        "nan",
        "../x",
        "/etc/passwd",
        "=cmd|' /C calc'!A0",
        "<script>",
        "\x00",
        '"',
        "positive",
        "a.avi",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@EXAMPLES
@given(rows=st.lists(st.lists(CELLS, max_size=8), max_size=6), known=st.booleans())
def test_a_table_of_any_cells_is_read_or_refused(tmp_path, rows, known):
    header = ["clip", "subject", "label", "onset", "apex", "offset", "path", "box"]
    lines = [",".join(cells) for cells in ([header, *rows] if known else rows)]
    (tmp_path / "clips.csv").write_text("\n".join(lines), encoding="utf-8")
    try:
        reading = read_corpus("table", tmp_path)
    except DataError:
        return
    assert isinstance(reading, Reading)
    assert not reading.clips, "none of the paths is an image"


@pytest.mark.parametrize("cell", ["inf", "1e999", "9" * 5000, "-1", "²", "99999999999", "0x10", "1e6"])
@pytest.mark.parametrize("column", ["onset", "apex", "offset", "fps", "box", "action_units", "subject"])
def test_a_number_out_of_range_excludes_its_row_only(tmp_path, column, cell):
    data = write_flow_release(tmp_path / "data", subjects=1, each=1)
    video = tmp_path / "video.avi"
    video.write_bytes(b"RIFF")
    shutil.copy(next((data / "STSNet_whole_norm_u_v_os").iterdir()), tmp_path / "image.png")
    plain = {
        "subject": "p1",
        "onset": "1",
        "apex": "2",
        "offset": "3",
        "fps": "25",
        "box": "0 0 9",
        "action_units": "12",
    }
    rows = [{"clip": "a", "label": "x", "path": path} | plain for path in ("video.avi", "image.png")]
    lines = [
        ",".join(rows[0]),
        ",".join(rows[0].values()),
        *(",".join((row | {column: cell}).values()) for row in rows),
    ]
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    reading = read_corpus("table", tmp_path)
    assert reading.clips
    assert all(len(clip.numbers) <= 10**7 for clip in reading.clips)


@pytest.mark.slow
@EXAMPLES
@given(
    name=st.sampled_from(["seeds", "train", "data", "workdir", "protocol", "dry_run", "nothing"]),
    value=JSON,
    inner=st.none() | st.sampled_from(["steps", "network", "learning_rate", "scaling", "method", "dataset", "motion"]),
)
def test_settings_of_any_shape_are_restored_or_refused(name, value, inner):
    try:
        restored = from_json(RunConfig, {name: {inner: value} if inner else value})
    except ConfigError:
        return
    assert isinstance(restored, RunConfig)


TABLE = "clip,dataset,subject,fold,seed,label,prediction,p_a,p_b,format_version\n" + "".join(
    f"smic/s{row}/c,smic,smic/s{row},smic/s{row},{seed},a,{'ab'[row % 2]},0.{5 + row},0.{5 - row},1\n"
    for seed in range(2)
    for row in range(4)
)


@pytest.mark.slow
def test_predictions_of_any_bytes_are_scored_or_refused(tmp_path, capsys):
    whole, path = tmp_path / "whole.csv", tmp_path / "mutated.csv"
    whole.write_text(TABLE)
    read = 0
    for case in range(300):
        path.write_bytes(mutate(TABLE.encode(), random.Random(case)))
        try:
            rows, classes = read_predictions(path)
            found = score_predictions(rows, classes, 4)
        except ValueError:
            continue
        read += 1
        assert np.isfinite(found.uf1.mean)
        assert sum(found.class_counts.values()) == found.clips
    assert 0 < read < 150
    path.write_bytes(mutate(TABLE.encode(), random.Random(0)))
    assert compare.main([str(whole), str(path)]) in {0, 2}
    assert "Traceback" not in capsys.readouterr().err


def test_an_image_of_any_bytes_is_read_or_refused(tmp_path):
    data = write_flow_release(tmp_path / "data", subjects=1, each=1)
    path = next((data / "STSNet_whole_norm_u_v_os").iterdir())
    whole = path.read_bytes()
    for case in range(200):
        path.write_bytes(mutate(whole, random.Random(case)))
        with contextlib.suppress(ValueError):
            image = read_image(path)
            assert image.dtype == np.uint8
            assert image.ndim == 3


@pytest.mark.parametrize("write", [write_xls, write_xlsx])
def test_a_workbook_of_any_bytes_is_read_or_refused(tmp_path, write):
    path = tmp_path / f"coding.{write.__name__.removeprefix('write_')}"
    write(path, {"coding": [["Subject", "Onset", "Emotion"], *([f"sub{row}", row, "happiness"] for row in range(20))]})
    whole = path.read_bytes()
    for case in range(250):
        path.write_bytes(mutate(whole, random.Random(case)))
        with contextlib.suppress(DataError):
            assert all(isinstance(rows, list) for rows in read_sheets(path).values())


@pytest.mark.parametrize("kind", ["bytes", "json"])
def test_checksummed_files_with_other_bytes_are_refused(tmp_path, kind):
    path = tmp_path / "checksummed"
    content = {"a": [1, 2.5, "ß"], "b": {"c": None}}
    write_checksummed(path, json.dumps(content).encode()) if kind == "bytes" else write_checksummed_json(path, content)
    whole = path.read_bytes()
    for case in range(400):
        mutated = mutate(whole, random.Random(case))
        path.write_bytes(mutated)
        if mutated == whole:
            continue
        if kind == "bytes":
            assert read_checksummed(path) is None
        else:
            with pytest.raises(ValueError, match=r"checksummed (is missing|does not match)"):
                read_checksummed_json(path)


def test_a_checkpoint_with_other_bytes_is_refused_and_its_file_named(tmp_path):
    params = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}
    save_params(tmp_path, 7, params, {})
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for case in range(100):
        rng = random.Random(case)
        path = rng.choice(files)
        whole = path.read_bytes()
        path.write_bytes(mutate(whole, rng))
        if path.read_bytes() != whole:
            with pytest.raises(ValueError, match=path.name):
                load_params(tmp_path, params)
        path.write_bytes(whole)
    assert jax.tree.all(jax.tree.map(np.array_equal, load_params(tmp_path, params)[1], params))
