"""The order of the images of a folder: as they were numbered, or a refusal with two names; never another order."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightman_jax.data.folders.frame_order import order_frames
from lightman_jax.data.folders.trees import list_frames

WORDS = st.sampled_from(
    ["", "frame", "img", "Image", "clip", "cam", "EP", "S", "sub", "happy face", "übung", "P1E", "rgb"]
)
MARKS = st.sampled_from(["", "_", "-", " ", "."])
NUMBERS = st.integers(0, 3000)


def ordered(names):
    """Frames of names that are listed in another order, and those in the order of the names."""
    shuffled = sorted(names)
    random.Random(0).shuffle(shuffled)
    return order_frames([Path(name) for name in shuffled]), tuple(map(Path, names))


def clock(seconds, pattern):
    ms = round(1000 * seconds) % 86_400_000
    return pattern.format(h=ms // 3_600_000, m=ms // 60_000 % 60, s=ms // 1000 % 60, ms=ms % 1000)


RELEASED = {
    "image{:06d}.bmp": range(559_740, 559_760),
    "reg_image{:06d}.bmp": (123, 124, 126, 127),
    "EP01_12-{}.jpg": range(90, 110),
    "reg_EP01_12-{:03d}.jpg": (73, 74),
    "img{}.jpg": range(46, 120),
    "reg_img{}.jpg": (9, 10, 11),
    "006_{:05d}.jpg": range(5562, 5600),
    "006_1_{:04d}.jpg": range(1, 30),
    "{}.jpg": range(355, 380),
    "{:05d}.png": range(20),
    "S005_001_{:08d}.png": range(1, 12),
    "{:03d}.jpeg": (0, 1),
}


@pytest.mark.parametrize("pattern", RELEASED)
def test_released_names_keep_their_frame_numbers(pattern):
    numbers = tuple(RELEASED[pattern])
    for some in (numbers, numbers[:2], numbers[-1:], numbers[::2]):
        frames, paths = ordered([pattern.format(number) for number in some])
        assert (frames.paths, frames.numbers, frames.choices, frames.refusal) == (paths, some, (), None)


@settings(max_examples=40, deadline=None)
@given(
    word=WORDS,
    before=st.lists(NUMBERS, max_size=2),
    after=st.sampled_from(["", "_224x224", "_2", "_of_60", "_face", " (0)", "-fps25"]),
    mark=MARKS,
    pad=st.integers(0, 6),
    numbers=st.lists(NUMBERS, min_size=2, max_size=12, unique=True),
)
def test_the_only_number_that_varies_is_the_frame_number(word, before, after, mark, pad, numbers):
    # `7.9` and `7.11` may be decimals.
    numbers, mark = sorted(numbers), "-" if mark == "." and before else mark
    start = "".join(f"{one}{mark or '_'}" for one in before)
    names = [f"{word}{mark or '_'}{start}{number:0{pad}d}{after}.png" for number in numbers]
    frames, paths = ordered(names)
    assert frames.paths == paths
    assert frames.numbers == tuple(numbers) or (frames.choices and frames.numbers == tuple(range(1, len(numbers) + 1)))


CLOCKS = [
    "RGB-{h:02d}-{m:02d}-{s:02d}-{ms:03d}",
    "RGB-{h}-{m}-{s}-{ms}",
    "{h:02d}{m:02d}{s:02d}_{ms:03d}",
    "20240405_{h:02d}{m:02d}{s:02d}{ms:03d}",
    "2024-04-05T{h:02d}.{m:02d}.{s:02d}.{ms:03d}",
    "{h}h{m}m{s}s{ms}ms",
    "t_{m:02d}_{s:02d}_{ms}",
    "img {s:02d}-{ms:03d}",
]


@settings(max_examples=40, deadline=None)
@given(
    pattern=st.sampled_from(CLOCKS),
    start=st.sampled_from([3599, 3600 * 11 + 59, 41_217, 86_399, 59, 7_325, 0]),
    offset=st.integers(0, 999),
    step=st.sampled_from([0.005, 0.02, 1 / 30, 0.04, 0.1, 0.5]),
    count=st.integers(2, 40),
)
def test_clock_times_are_ordered_or_refused(pattern, start, offset, step, count):
    start = 82_799 if pattern.startswith("2024") and start == 86_399 else start
    times = [start + offset / 1000 + step * index for index in range(count)]
    frames, paths = ordered([clock(time, pattern) + ".png" for time in times])
    assert frames.refusal or frames.paths == paths


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(1_000_000_000_00, 1_800_000_000_00),
    step=st.sampled_from([0.01, 0.02, 0.05, 0.1, 1 / 30, 1 / 25, 0.25, 1.0]),
    digits=st.integers(1, 6),
    mark=st.sampled_from([".", "_", "-"]),
    padded=st.booleans(),
    count=st.integers(2, 40),
)
def test_seconds_since_1970_are_ordered_or_refused(start, step, digits, mark, padded, count):
    times = [round(start / 100 + step * index, digits) for index in range(count)]
    texts = list(dict.fromkeys(f"{time:.{digits}f}" if padded else str(time) for time in times))
    frames, paths = ordered([f"cam_{text.replace('.', mark)}.jpg" for text in texts])
    assert frames.refusal or frames.paths == paths
    assert frames.refusal or frames.numbers == tuple(range(1, len(paths) + 1)) or len(paths) == 1


@settings(max_examples=40, deadline=None)
@given(rate=st.sampled_from([24, 25, 30, 50, 60, 100, 200]), start=st.integers(0, 20_000), count=st.integers(2, 300))
def test_time_codes_are_ordered_or_refused(rate, start, count):
    def name(frame):
        seconds = frame // rate
        return f"{seconds // 3600:02d}_{seconds // 60 % 60:02d}_{seconds % 60:02d}_{frame % rate:02d}.png"

    frames, paths = ordered([name(start + index) for index in range(count)])
    assert frames.refusal or frames.paths == paths


@pytest.mark.parametrize(
    "names",
    [
        [f"RGB-11-26-{57 + (900 + 20 * i) // 1000}-{(900 + 20 * i) % 1000}.png" for i in range(12)],
        [f"{round(1712345678.9 + i * 0.05, 2)}.png" for i in range(12)],
        [f"00_00_{i // 25:02d}_{i % 25:02d}.png" for i in range(60)],
        [clock(86_399.9 + 0.02 * i, "{h:02d}-{m:02d}-{s:02d}-{ms:03d}.png") for i in range(12)],
        [f"{0.25 * i}.png" for i in range(1, 9)],
        [f"{1_712_345_678_900 + 33 * i}.png" for i in range(9)],
        ["11-26-57-990.png", "11-26-58-010.png"],
        [f"_Color_{1_705_142_817_123.45 + 33.33 * i:.2f}.png" for i in range(12)],
        [f"frame_{0.033 * i:.3f}.png" for i in range(60)],
        [f"{1_705_176_249 + (u := 83_333 * n) // 10**6}.{u % 10**6}.png" for n in range(1, 60)],
        [f"clip_Color_{round(1_705_142_817_123.45 + 33.335 * i, 2)}.png" for i in range(12)],
    ],
    ids=lambda names: names[0],
)
def test_frames_of_names_with_a_time_are_numbered_from_1_and_reported(names):
    frames, paths = ordered(names)
    assert frames.paths == paths
    assert frames.numbers == tuple(range(1, len(names) + 1))
    assert any("time" in choice.rule for choice in frames.choices)


@settings(max_examples=40, deadline=None)
@given(
    pattern=st.sampled_from(["cam{k}_{n:04d}", "{k}_{n}", "{n}_{k}", "face{k}-{n}", "s1_{k}_{n:03d}", "{n:04d}_v{k}"]),
    kinds=st.integers(2, 3),
    first=st.integers(0, 2),
    lengths=st.lists(st.integers(3, 40), min_size=3, max_size=3),
    seed=st.integers(0, 3),
)
def test_two_numbers_without_an_order_are_never_one_sequence_in_silence(pattern, kinds, first, lengths, seed):
    names = [
        f"{pattern.format(k=kind, n=number)}.png"
        for kind in range(kinds)
        for number in range(first, first + lengths[kind])
    ]
    frames, _ = ordered(names)
    if frames.refusal:
        assert frames.refusal[1].count(".png") == 2
    else:
        assert frames.choices


@pytest.mark.parametrize(
    "pattern",
    [
        "{time}-{count}",
        "{count:04d}-{time}",
        "20240113_{clock}_{count:04d}",
        "Basler__20240113_{clock}{ms:03d}_{count:04d}",
    ],
)
def test_a_count_with_gaps_beside_a_time_is_the_frame_number(pattern):
    counts = (25, 26, 28, 29, 31, 40, 61)
    names = [
        pattern.format(time=1_705_142_817_123 + 33 * n, clock=112_650 + n // 30, ms=33 * (n % 30), count=n) + ".png"
        for n in counts
    ]
    frames, paths = ordered(names)
    assert (frames.paths, frames.numbers) == (paths, counts)
    assert frames.choices


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("frame_{:02x}", range(20)),
        ("{:04x}", range(160, 180)),
        ("f{:x}", range(40)),
        ("t{}", range(-3, 20)),
        ("c_{:+05d}", range(-9, 3)),
        ("f_{}", range(-9, 0)),
    ],
)
def test_hexadecimal_and_negative_numbers_are_an_order(pattern, numbers):
    frames, paths = ordered([pattern.format(number) + ".png" for number in numbers])
    assert (frames.paths, frames.numbers) == (paths, tuple(numbers))
    assert frames.choices


@pytest.mark.parametrize(
    ("used", "others", "word"),
    [
        ("{:04d}_rgb.png", "{:04d}_depth.png", "another kind"),
        ("frame_{:03d}.png", "annotated_{:03d}.png", "another kind"),
        ("frame_{:03d}.png", "frame_{:03d}_flow.png", "another kind"),
        ("color_{}.png", "ir_{}.png", "another kind"),
        ("{}.jpg", "{}.png", "formats"),
    ],
)
def test_images_of_another_kind_are_left_out_and_reported(used, others, word):
    names = [used.format(number) for number in range(1, 13)]
    frames = order_frames([Path(name) for name in (*names, *(others.format(number) for number in range(1, 13)))])
    assert frames.paths == tuple(map(Path, names))
    (choice,) = frames.choices
    assert word in choice.rule
    assert others.format(1) in choice.example


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png", "c.png"],
        ["neutral.png", "peak.png"],
        [f"{side}_{number}.png" for side in ("left", "right") for number in range(5)],
        [f"{number:03d}{side}.png" for side in "ab" for number in range(5)],
        [f"frame{number}_face{face}.png" for number in range(9) for face in (1, 2)],
        ["3f2a9c.png", "b71e0d.png", "c90aa1.png"],
        ["v1.9.png", "v1.11.png"],
        [f"cam{k}.{n:02d}.png" for k in (1, 2) for n in range(100 if k == 1 else 80)],
        ["1.png", "01.png", "2.png"],
        ["onset1.png", "apex.png"],
        [f"{n:04x}.png" for n in range(40) if n % 7 != 3],
    ],
    ids=lambda names: names[0],
)
def test_names_in_no_order_are_refused_with_two_of_them(names, tmp_path):
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([index]))
    frames = list_frames(tmp_path)
    assert frames.paths == ()
    assert sum(name in frames.refusal[1] or Path(name).stem.split(".")[-1] in frames.refusal[1] for name in names) >= 2


def test_onset_apex_and_offset_are_an_order():
    for names in (
        ["onset.png", "apex.png", "offset.png"],
        ["s1-onset.jpg", "s1-apex.jpg", "s1-offset.jpg"],
        ["Onset.png", "Apex.png"],
    ):
        frames, paths = ordered(names)
        assert (frames.paths, frames.numbers) == (paths, tuple(range(1, len(names) + 1)))
        assert frames.choices
    assert ordered(["onset_12.png", "apex_20.png", "offset_31.png"])[0].numbers == (12, 20, 31)


@settings(max_examples=40, deadline=None)
@given(
    marks=st.lists(
        st.sampled_from(
            [" (6)", "(1)", " - Copy", " - Copy (2)", " copy", " copy 2", "_1", " - Kopie", " - コピー", "-10"]
        ),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    data=st.data(),
)
def test_copies_do_not_take_the_place_of_other_frames(marks, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    names = [f"img{number}.png" for number in range(1, 13)]
    for name in names:
        (folder / name).write_bytes(name.encode())
    for mark in marks:
        original = data.draw(st.sampled_from(names))
        same = data.draw(st.booleans())
        (folder / f"{original.removesuffix('.png')}{mark}.png").write_bytes(original.encode() if same else b"edited")
    frames = list_frames(folder)
    assert [path.name for path in frames.paths] == names
    assert frames.numbers == tuple(range(1, 13))
    assert frames.choices


def test_series_of_file_managers_are_ordered():
    for names, numbers in (
        ([f"img ({number}).png" for number in range(1, 12)], range(1, 12)),
        (["img.png", *(f"img ({number}).png" for number in range(1, 12))], range(12)),
        (["image1.jpg", "Image2.JPG", "IMAGE10.jpg"], (1, 2, 10)),
    ):
        frames, paths = ordered(names)
        assert (frames.paths, frames.numbers) == (paths, tuple(numbers))


def test_strays_are_left_out_and_reported():
    names = [f"img{number}.png" for number in range(1, 13)]
    for stray in ("background.png", "IMG_4711.png", "best_6.png"):
        frames, _ = ordered([*names, stray])
        assert frames.paths == tuple(map(Path, names))
        assert stray in frames.choices[-1].example


def test_a_folder_of_other_types_names_them(tmp_path):
    assert list_frames(tmp_path) == ((), (), (), None)
    for name in ("1.psd", "2.psd", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    assert list_frames(tmp_path).refusal[1] == "no image, but 2 of .psd, 1 of .txt"
    (tmp_path / "1.avi").write_bytes(b"x")
    assert "name the video" in list_frames(tmp_path).refusal[2]
    (tmp_path / "1.WEBP").write_bytes(b"x")
    assert [path.name for path in list_frames(tmp_path).paths] == ["1.WEBP"]
