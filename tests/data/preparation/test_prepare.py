"""The prepare command: results are reused, interruptions and full disks leave no partial files, and failures are reported."""

import dataclasses
import errno
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments import prepare
from experiments.evaluation import data
from lightman_jax import files
from lightman_jax.data.preparation import clip_cache
from lightman_jax.data.preparation.load import load_clips
from lightman_jax.data.preparation.manifest import read_manifest
from lightman_jax.data.synthetic.face_geometry import geometry_digest, read_geometry
from lightman_jax.data.synthetic.simulated_au import SimulatedAUConfig
from lightman_jax.data.synthetic.stand_in import stand_in_config, write_stand_in
from lightman_jax.data.vision.images import write_image
from tests.data.corpora.flow_trees import write_release


@pytest.fixture
def tree(tmp_path):
    config = dataclasses.replace(stand_in_config("casme2"), subjects=3, micro_clips=1, side=48)
    return write_stand_in(tmp_path / "casme2", "casme2", config)


def call(tree, data_cache, *flags):
    return prepare.main(["--dataset=casme2", f"--data_dir={tree}", f"--data_cache={data_cache}", *flags])


def prepared(data_cache):
    return sorted(path.parent for path in data_cache.glob("casme2_stand_in-*/manifest.json"))


def count_computed(monkeypatch):
    computed = []
    original = clip_cache.motion_image

    def counting(clip, *more):
        computed.append(clip.clip)
        return original(clip, *more)

    monkeypatch.setattr(clip_cache, "motion_image", counting)
    return computed


@pytest.mark.slow
def test_unchanged_clips_are_reused_and_changed_ones_are_prepared_again(tree, tmp_path, monkeypatch, capsys):
    data_cache = tmp_path / "cache"
    computed = count_computed(monkeypatch)
    assert call(tree, data_cache) == 0
    assert len(computed) == 9
    assert call(tree, data_cache) == 0
    assert len(computed) == 9
    assert "prepared before" in capsys.readouterr().out
    changed = next((tree / "CASME2_RAW_selected" / "sub02").iterdir())
    image = next(changed.glob("*.jpg"))
    os.utime(image, (1, 1))
    assert call(tree, data_cache) == 0
    assert len(computed) == 9, "the content of the files counts, not their times"
    image.write_bytes(image.read_bytes() + b" ")
    assert call(tree, data_cache) == 0
    assert len(computed) == 10, "a changed clip is computed alone"
    assert call(tree, data_cache, "--image_side=20") == 0
    assert len(computed) == 19
    assert len(prepared(data_cache)) == 3
    example = tfds.builder_from_directory(prepared(data_cache)[0]).as_data_source()["micro"][0]
    assert {"image", "label", "clip", "subject", "emotion", "action_units", "apex", "fps", "face"} == set(example)


def test_an_interrupted_preparation_resumes(tree, tmp_path, monkeypatch):
    data_cache = tmp_path / "cache"
    original = clip_cache.motion_image
    done = []

    def stopping(clip, *more):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(clip.clip)
        return original(clip, *more)

    monkeypatch.setattr(clip_cache, "motion_image", stopping)
    with pytest.raises(KeyboardInterrupt):
        call(tree, data_cache)
    assert not prepared(data_cache)
    monkeypatch.setattr(clip_cache, "motion_image", original)
    computed = count_computed(monkeypatch)
    assert call(tree, data_cache) == 0
    assert len(computed) == 5
    assert not set(computed) & set(done)
    assert not [path for path in data_cache.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_killed_preparation_resumes_to_the_same_files(tree, tmp_path):
    command = [sys.executable, "-m", "experiments.prepare", "--dataset=casme2", f"--data_dir={tree}", "--workers=1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(tree, whole) == 0
    for patience in (0.02, 0.3):
        process = subprocess.Popen(
            [*command, f"--data_cache={killed}"], stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[3]
        )
        deadline = time.time() + 60
        while time.time() < deadline and not list(killed.glob("clips/*")) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(patience)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert call(tree, killed) == 0
    digests = [json.loads((prepared(place)[0] / "manifest.json").read_text())["shards"] for place in (whole, killed)]
    records = [{name: digest for name, digest in own.items() if "array_record" in name} for own in digests]
    assert records[0] == records[1]


@pytest.mark.slow
def test_data_that_have_moved_are_not_prepared_again(tree, tmp_path, monkeypatch, capsys):
    computed = count_computed(monkeypatch)
    assert call(tree, tmp_path / "cache") == 0
    moved = tmp_path / "another disk"
    shutil.copytree(tree, moved, copy_function=shutil.copyfile)
    shutil.rmtree(tree)
    (tmp_path / "cache").rename(tmp_path / "moved_cache")
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(tmp_path)
    for place in (moved, "another disk", f"{moved}/", "link", "another disk/../link"):
        assert call(place, "moved_cache") == 0
        assert "prepared before" in capsys.readouterr().out
    shutil.rmtree(prepared(tmp_path / "moved_cache")[0])
    assert call(moved, tmp_path / "moved_cache") == 0
    assert len(computed) == 9


@pytest.mark.slow
def test_a_damaged_cached_image_is_computed_again(tree, tmp_path, monkeypatch):
    data_cache = tmp_path / "cache"
    assert call(tree, data_cache) == 0
    first = sorted((data_cache / "clips").glob("*.motion"))[0]
    first.write_bytes(first.read_bytes()[:100])
    (prepared(data_cache)[0] / "manifest.json").unlink()
    computed = count_computed(monkeypatch)
    assert call(tree, data_cache) == 0
    assert len(computed) == 1


def test_a_disk_that_is_too_small_is_reported_before_any_computation(tree, tmp_path, monkeypatch, capsys):
    class Usage(NamedTuple):
        free: int

    computed = count_computed(monkeypatch)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: Usage(1 << 20))
    assert call(tree, tmp_path / "cache") == 2
    assert not computed
    assert re.search(r"disk is full: [\d,]+ bytes are needed, 1,048,576 are free", capsys.readouterr().err)


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_no_partial_files(tree, tmp_path, monkeypatch, capsys):
    data_cache = tmp_path / "cache"
    original = os.fsync
    calls = []

    def failing(descriptor):
        calls.append(descriptor)
        if len(calls) == 14:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", failing)
        assert call(tree, data_cache) == 2
    error = capsys.readouterr().err
    assert re.search(r"disk is full: [\d,]+ bytes are needed, [\d,]+ are free: '.*/clips/\w+", error)
    assert error.splitlines()[-1].startswith("python -m experiments.prepare --dataset=casme2")
    assert not prepared(data_cache)
    assert not list(data_cache.rglob(".*"))
    assert call(tree, data_cache) == 0


def test_a_folder_that_cannot_be_written_is_named(tree, tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert call(tree, blocked / "cache") == 2
    assert "--data_cache" in capsys.readouterr().err


def test_a_user_table_takes_videos_and_lists_its_faults(tmp_path):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(3)]
    video = cv2.VideoWriter(str(tmp_path / "f.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 64))
    if not video.isOpened():
        pytest.skip("this OpenCV cannot write videos")
    for frame in (*frames, *frames):
        video.write(frame)
    video.release()
    (tmp_path / "t.csv").write_text(
        "clip,subject,label,onset,apex,offset,path,aplex\n"
        "a,1,happy,2,3,5,f.avi,\n"
        "b,2,sad,2,3,50,f.avi,\n"
        "c,3,sad,,,,nothing.avi,\n"
        "d,4,sad,5,1,2,f.avi,\n"
    )
    data_cache = tmp_path / "cache"
    assert prepare.main(["--dataset=table", f"--data_dir={tmp_path}", f"--data_cache={data_cache}"]) == 1
    manifest = json.loads(next(data_cache.glob("table-*/manifest.json")).read_text())
    text = " ".join(f"{p['where']} {p['expected']} {p['found']}" for p in manifest["problems"])
    assert manifest["clips"] == {"micro": 1}
    aligned = "head motion is removed in 0 of 1 clips that are not cropped to the face; some frame has no landmarks in table/1/a"
    assert aligned in manifest["notes"]
    assert manifest["classes"] == ["happy", "sad"]
    short = "table/2/b: f.avi a video of 50 frames or more 6 frames"
    for fault in ("aplex", short, "nothing.avi none of that name", "apex 1, offset 2"):
        assert fault in text, fault


def test_a_video_with_damaged_frames_is_left_out_of_the_data_and_of_the_contact_sheet(tmp_path, capsys):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for name in "ab":
        video = cv2.VideoWriter(str(tmp_path / f"{name}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 64))
        if not video.isOpened():
            pytest.skip("this OpenCV cannot write videos")
        for _ in range(6):
            video.write(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
        video.release()
    content = (tmp_path / "a.avi").read_bytes()
    start, end = len(content) // 4, 3 * len(content) // 4
    (tmp_path / "a.avi").write_bytes(content[:start] + bytes(end - start) + content[end:])
    rows = ["clip,subject,label,onset,offset,path,box", *(f"{n},{n},happy,1,6,{n}.avi,0 0 64" for n in "ab")]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data_cache = tmp_path / "cache"
    assert prepare.main(["--dataset=table", f"--data_dir={tmp_path}", f"--data_cache={data_cache}"]) == 1
    manifest = json.loads(next(data_cache.glob("table-*/manifest.json")).read_text())
    assert manifest["clips"] == {"micro": 1}
    assert [problem["where"] for problem in manifest["problems"]] == ["table/a/a: a.avi"]
    assert list(data_cache.glob("table-*.png"))


def test_views_are_printed_by_the_check_and_the_preparation_and_drawn(tmp_path, capsys):
    folders = [
        write_release(tmp_path / "one"),
        write_release(tmp_path / "two", added=(1,), left_out=["s01_s01_ne_01_1"]),
    ]
    flags = ["--dataset=smic", f"--data_dir={folders[1]},{folders[0]}", f"--data_cache={tmp_path / 'cache'}"]
    assert prepare.main([*flags, "--check", f"--out={tmp_path / 'check.json'}"]) == 0
    content = json.loads((tmp_path / "check.json").read_text())
    assert content["views"] == {"megc2019_rise": 2, "causalnet_rise": 2, "causalnet_fall": 1}
    assert content["root"] == f"{folders[0]},{folders[1]}"
    assert re.search(r"SMIC-HS +│ micro │ 2 +│ 2 +│ 2 +│ 1 ", capsys.readouterr().out)
    assert prepare.main(flags) == 0
    printed = capsys.readouterr().out
    assert "views: 2 megc2019_rise, 2 causalnet_rise, 1 causalnet_fall" in printed
    assert "note: 1 of 2 micro clips have no view causalnet_fall: the release has no such image of them" in printed
    assert list(tmp_path.glob("cache/smic-*.png"))
    assert read_manifest(next(tmp_path.glob("cache/smic-*/manifest.json")).parent).root == content["root"]
    assert prepare.main([*flags, "--views=dis_rise"]) == 2
    assert "choose some of them, such as --views=megc2019_rise" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_clips_without_a_movement_are_left_out_unless_they_are_kept(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = ["clip,subject,label,onset,apex,offset,path,box"]
    for subject in ("anna", "ben"):
        for label, apex in (("left", 2), ("right", 1)):
            folder = tmp_path / "data" / f"{subject}_{label}"
            folder.mkdir(parents=True)
            for number in range(1, 4):
                write_image(folder / f"{number}.png", rng.integers(0, 255, (40, 40, 3)).astype(np.uint8))
            rows.append(f"{label},{subject},{label},1,{apex},3,{folder.name},0 0 40")
    shutil.copy(tmp_path / "data" / "ben_left" / "1.png", tmp_path / "data" / "ben_left" / "2.png")
    (tmp_path / "data" / "clips.csv").write_text("\n".join(rows) + "\n")
    flags = ["--dataset=table", f"--data_dir={tmp_path / 'data'}", f"--data_cache={tmp_path / 'cache'}"]
    cases = {
        ("--check",): ["table/anna/right", "table/ben/right"],
        (): ["table/anna/right", "table/ben/right", "table/ben/left"],
        ("--apex=spot",): ["table/ben/left"],
        ("--no_movement=keep",): [],
    }
    for more, left_out in cases.items():
        out = tmp_path / "check.json"
        assert prepare.main([*flags, *more, *([f"--out={out}"] if more == ("--check",) else [])]) == 0
        if more == ("--check",):
            problems = json.loads(out.read_text())["problems"]
        else:
            newest = max(tmp_path.glob("cache/table-*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
            problems = read_manifest(newest.parent).problems
            problems = [dataclasses.asdict(problem) for problem in problems]
        found = [(problem["where"], problem["flag"]) for problem in problems if problem["lost"]]
        assert found == [(clip, "--no_movement=keep") for clip in left_out]
    micro = load_clips(newest.parent).micro
    images = dict(zip(micro.clip, micro.image, strict=True))
    assert not images["table/anna/right"].any()
    assert images["table/anna/left"].any()


@pytest.mark.slow
def test_measured_heads_are_prepared_once_for_the_content_of_all_their_files(facekit, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        data, "SimulatedAUConfig", functools.partial(SimulatedAUConfig, subjects=1, micro_clips=1, macro_clips=1)
    )
    cache = tmp_path / "cache"

    def folders(geometry):
        flags = ["--dataset=simulated_au", f"--geometry={geometry}", f"--data_cache={cache}", "--face_side=40"]
        assert prepare.main(flags) == 0
        return {path.name for path in cache.glob("simulated_au_stand_in-*[!g]")}

    kit = tmp_path / "kit" / "FaceXModel"
    kit.mkdir(parents=True)
    for path in (facekit / "FaceXModel").iterdir():
        (kit / path.name).symlink_to(path)
    first = folders(facekit)
    assert folders(kit) == first, "the same content elsewhere"
    assert "all 6 clips can be used" in capsys.readouterr().out
    assert len(list(cache.glob("*.png"))) == 1
    (kit / "identity900.obj").symlink_to(facekit / "FaceXModel" / "identity000.obj")
    read_geometry.cache_clear()
    geometry_digest.cache_clear()
    assert len(folders(kit)) == 2, "other heads"
