"""Images of every depth, format and orientation: red stays red, upright, and scaled by the range of the clip."""

import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lightman_jax.data.records import RawClip
from lightman_jax.data.vision.images import decode_image, eight_bits, read_image
from lightman_jax.data.vision.video import Video, read_clip_images, read_frames

HEIGHT, WIDTH = 32, 48


def texture(seed=0):
    coarse = np.random.default_rng(seed).integers(20, 256, size=(4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def opencv(suffix, rgb, *options):
    done, data = cv2.imencode(suffix, rgb[..., ::-1] if rgb.ndim == 3 else rgb, *options)
    assert done
    return data.tobytes()


def pillow(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def with_png_chunk(png, kind, content):
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + chunk + png[33:]  # After the header.


def netpbm(values, greatest):
    kind = b"P6" if values.ndim == 3 else b"P5"
    data = values.astype(np.uint8 if greatest < 256 else ">u2").tobytes()
    return kind + b"\n# made by hand\n%d %d\n%d\n" % (WIDTH, HEIGHT, greatest) + data


def jpeg_2000(values, bits):
    """OpenCV writes 16 bits only; the stated depth moves the zero of the stored values."""
    shifted = (values.astype(np.int64) + (1 << 15) - (1 << (bits - 1))).astype(np.uint16)
    data = bytearray(opencv(".jp2", shifted, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]))
    start = data.find(b"\xff\x4f\xff\x51")
    for component in range(3 if values.ndim == 3 else 1):
        data[start + 42 + 3 * component] = bits - 1
    data[data.find(b"ihdr") + 14] = bits - 1
    return bytes(data)


def packed_tiff(grey, bits):
    """Values of 10, 12 or 14 bits without gaps, which tifffile alone cannot write."""
    digits = ((grey[..., None].astype(np.uint32) >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    rows = np.packbits(digits.reshape(HEIGHT, -1), axis=1).tobytes()
    short, long, start = 3, 4, 8 + 2 + 9 * 12 + 4
    tags = [(256, long, WIDTH), (257, long, HEIGHT), (258, short, bits), (259, short, 1), (262, short, 1)]
    tags += [(273, long, start), (277, short, 1), (278, long, HEIGHT), (279, long, len(rows))]
    entries = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + rows


def shown(data):
    image = decode_image(data)
    return eight_bits(image, image.white)


RED = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
RED[..., 0] = 200
RED[:16, ..., 0] = 255
RED_FILES = {
    "png": opencv(".png", RED),
    "bmp": opencv(".bmp", RED),
    "ppm": opencv(".ppm", RED),
    "webp": pillow(Image.fromarray(RED), "WEBP", lossless=True),
    "jpg": opencv(".jpg", RED, [cv2.IMWRITE_JPEG_QUALITY, 98]),
    "jp2": opencv(".jp2", RED),
    "tif": opencv(".tif", RED),
    "palette png": pillow(Image.fromarray(RED).quantize(4), "PNG"),
    "palette bmp": pillow(Image.fromarray(RED).quantize(4), "BMP"),
    "palette tif": pillow(Image.fromarray(RED).quantize(4), "TIFF"),
    "cmyk jpg": pillow(Image.fromarray(RED).convert("CMYK"), "JPEG", quality=98),
    "cmyk tif": pillow(Image.fromarray(RED).convert("CMYK"), "TIFF"),
    "alpha png": pillow(Image.fromarray(RED).convert("RGBA"), "PNG"),
    "16-bit png": opencv(".png", RED.astype(np.uint16) * 257),
    "12-bit png": opencv(".png", RED.astype(np.uint16) * 16 + 15),
    "12-bit ppm": netpbm(RED.astype(np.uint16) * 16 + 15 * (RED > 0), 4095),
    "10-bit jp2": jpeg_2000(RED.astype(np.uint16) * 4, 10),
    "12-bit tif": opencv(".tif", RED.astype(np.uint16) * 16),
    "planar 12-bit tif": tiff(
        np.moveaxis(RED.astype(np.uint16) * 16, 2, 0).copy(), photometric="rgb", planarconfig="separate"
    ),
    "float tif of 0 to 1": tiff((RED / 255).astype(np.float32), photometric="rgb"),
    "half tif of 0 to 255": tiff(RED.astype(np.float16), photometric="rgb"),
    "double tif of 0 to 65535": tiff(RED * 257.0, photometric="rgb"),
}


@pytest.mark.parametrize("name", RED_FILES)
def test_red_stays_red(name):
    np.testing.assert_allclose(shown(RED_FILES[name]).astype(int), RED, atol=12 if name.endswith("jpg") else 2)


GREY = np.repeat(texture()[..., :1], 3, axis=2)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("8-bit", opencv(".png", GREY[..., 0])),
        ("1-bit", None),
        ("12-bit png", opencv(".png", GREY[..., 0].astype(np.uint16) * 16)),
        ("12-bit pgm", netpbm(GREY[..., 0].astype(np.uint16) * 16, 4095)),
        ("8-bit pgm of 100", netpbm(np.round(GREY[..., 0] / 2.55), 100)),
        ("packed 12-bit tif", packed_tiff(GREY[..., 0].astype(np.uint16) * 16, 12)),
        ("packed 10-bit tif", packed_tiff(GREY[..., 0].astype(np.uint16) * 4, 10)),
        ("float tif", tiff((GREY[..., 0] / 255).astype(np.float32))),
        ("signed 16-bit tif", tiff(GREY[..., 0].astype(np.int16) * 16)),
        ("32-bit tif", tiff(GREY[..., 0].astype(np.uint32) * 257)),
        ("16-bit grey and alpha", None),
    ],
)
def test_grey_images_are_grey(name, data):
    expected = GREY
    if name == "1-bit":
        expected = np.where(GREY > 127, 255, 0)
        data = pillow(Image.fromarray(GREY[..., 0] > 127), "PNG")
    if name.endswith("alpha"):
        deep = np.dstack([GREY[..., 0].astype(np.uint16) * 257, np.full((HEIGHT, WIDTH), 65535, np.uint16)])
        data = tiff(deep, photometric="minisblack", extrasamples=["unassalpha"])
    np.testing.assert_allclose(shown(data).astype(int), expected, atol=2)


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(8, 16),
    form=st.sampled_from(["png", "png with sBIT", "png scaled", "ppm", "pgm", "jp2", "tif", "tif with tag", "float"]),
    seed=st.integers(0, 99),
)
def test_every_depth_is_scaled_by_its_range(bits, form, seed):
    pixels = texture(seed)
    pixels[0, 0] = 255
    white = (1 << bits) - 1
    values = np.rint(pixels * (white / 255.0)).astype(np.uint16)
    if form == "pgm":
        values, pixels = values[..., 0], np.repeat(pixels[..., :1], 3, axis=2)
    data = {
        "png": lambda: opencv(".png", values),
        "png with sBIT": lambda: with_png_chunk(opencv(".png", values // 2), b"sBIT", bytes([bits] * 3)),
        "png scaled": lambda: with_png_chunk(
            opencv(".png", pixels.astype(np.uint16) * 257), b"sBIT", bytes([bits] * 3)
        ),
        "ppm": lambda: netpbm(values, white),
        "pgm": lambda: netpbm(values, white),
        "jp2": lambda: jpeg_2000(values, bits),
        "tif": lambda: opencv(".tif", values),
        "tif with tag": lambda: tiff(values // 2, photometric="rgb", extratags=[(281, "H", 3, (white,) * 3, True)]),
        "float": lambda: tiff(values.astype(np.float32), photometric="rgb"),
    }[form]()
    halved = ("tif with tag", "png with sBIT") if bits < 16 else ()
    expected = pixels.astype(float) / 2 if form in halved else pixels
    np.testing.assert_allclose(shown(data).astype(float), expected, atol=1.6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "16-bit PNG", "16-bit TIFF", "PNG with alpha"])
def test_images_are_rotated_as_their_metadata_specify(form, orientation):
    pixels, exif = texture(), Image.Exif()
    exif[274] = orientation
    upright = np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(pillow(Image.fromarray(pixels), "PNG", exif=exif))))
    )
    if form == "16-bit TIFF":
        extra = [(274, "H", 1, orientation, True)]
        data = tiff(pixels.astype(np.uint16) * 257, photometric="rgb", extratags=extra)
    elif form == "16-bit PNG":
        data = with_png_chunk(opencv(".png", pixels.astype(np.uint16) * 257), b"eXIf", exif.tobytes()[6:])
    elif form == "PNG with alpha":
        hidden = np.full((HEIGHT, WIDTH), 255, np.uint8)
        hidden[:8, :8] = 0
        data = pillow(Image.fromarray(np.dstack([pixels, hidden])), "PNG", exif=exif)
        mask = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))[..., 3:] > 0
        upright = upright * mask
    else:
        options = {"quality": 98, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
        data = pillow(Image.fromarray(pixels), form, exif=exif, **options)
    np.testing.assert_allclose(shown(data).astype(int), upright, atol=12 if form == "JPEG" else 0)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "16-bit PNG", "16-bit TIFF", "palette"])
def test_the_colour_of_transparent_pixels_does_not_matter(form):
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[8:, 8:] = 255
    results = []
    for hidden in (0, 90, 255):
        pixels = np.where(alpha[..., None] > 0, texture(), np.uint8(hidden))
        both = np.dstack([pixels, alpha])
        if form.startswith("16-bit"):
            deep = both.astype(np.uint16) * 257
            order = deep[..., [2, 1, 0, 3]]
            data = cv2.imencode(".png" if form.endswith("PNG") else ".tif", order)[1].tobytes()
        elif form == "palette":
            image = Image.fromarray(np.where(alpha > 0, np.uint8(1), np.uint8(0)))
            image.putpalette([hidden, hidden, hidden, 200, 100, 50])
            data = pillow(image, "PNG", transparency=0)
        else:
            data = pillow(Image.fromarray(both), form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
        results.append(shown(data))
    assert (results[0][:8] == 0).all()
    assert results[0][20, 20].any()
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("level", [0, 128, 255])
def test_transparency_that_is_the_same_everywhere_is_ignored(level):
    both = np.dstack([texture(), np.full((HEIGHT, WIDTH), level, np.uint8)])
    np.testing.assert_array_equal(shown(pillow(Image.fromarray(both), "PNG")), texture())


def test_ordinary_8_bit_images_are_what_opencv_decodes():
    grey = Image.fromarray(texture()[..., 0])
    kinds = {
        **{suffix: opencv(suffix, texture()) for suffix in (".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm", ".jp2")},
        "grey jpg": pillow(grey, "JPEG"),
        "grey png": pillow(grey, "PNG"),
        "grey bmp": pillow(grey, "BMP"),
        "grey tif": pillow(grey, "TIFF"),
        "progressive": pillow(Image.fromarray(texture()), "JPEG", progressive=True, quality=60),
        "32-bit bmp": pillow(Image.fromarray(texture()).convert("RGBA"), "BMP"),
        "1-bit": pillow(grey.convert("1"), "PNG"),
        "white is 0": tiff(texture()[..., 0].copy(), photometric="miniswhite"),
    }
    for name, data in kinds.items():
        today = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(shown(data), today, err_msg=name)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes that OpenCV cannot decode"),
        (b"II*\0 torn", "9 bytes that OpenCV cannot decode"),
        (tiff(np.full((HEIGHT, WIDTH), -1, np.int16)), "int16 values below 0"),
        (tiff(np.full((HEIGHT, WIDTH), np.nan, np.float32)), "float32 values below 0 or not finite"),
        (tiff(np.ones((HEIGHT, WIDTH), np.uint16), photometric="miniswhite"), "not brightness"),
        (tiff(np.ones((HEIGHT, WIDTH, 5), np.uint16), photometric="minisblack", planarconfig="contig"), "grey or RGB"),
    ],
)
def test_what_is_no_brightness_is_refused_with_the_reason(tmp_path, data, reason):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ValueError, match=f"^a.tif is not an image that can be used: .*{re.escape(reason)}"):
        read_image(tmp_path / "a.tif")


def clip_of(folder, images):
    paths = tuple(folder / f"{number}.png" for number in range(len(images)))
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(opencv(".png", image))
    return RawClip("c/s/1", "c/s", "micro", "frames", paths, tuple(range(len(images))), cropped=True)


def test_the_images_of_a_clip_have_one_range_whichever_are_read(tmp_path):
    pixels = texture().astype(np.uint16)
    # The third image is brighter; alone, each would be scaled by another range.
    clip = clip_of(tmp_path, [pixels * 3, pixels * 4, pixels * 15, pixels])
    every = read_clip_images(clip, range(4))
    np.testing.assert_allclose(every[1].astype(float), texture() * (4.0 * 255 / 4095), atol=0.51)
    np.testing.assert_array_equal(read_clip_images(clip, (0, 1)), every[:2])
    np.testing.assert_array_equal([frame.image for frame in read_frames(Video("v", clip.paths, is_file=False))], every)


def test_images_of_8_and_16_bits_in_one_clip_are_scaled_by_their_own_ranges(tmp_path):
    clip = clip_of(tmp_path, [texture(), texture().astype(np.uint16) * 16, texture().astype(np.uint16) * 257])
    onset, dim, _ = read_clip_images(clip, range(3))
    np.testing.assert_array_equal(onset, texture())
    np.testing.assert_allclose(dim.astype(float), texture() / 16, atol=0.6)
