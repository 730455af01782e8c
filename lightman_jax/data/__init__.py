"""From a corpus as its licence holder downloads it to arrays: layouts, faces, motion, shards, and a stand-in."""

import os

LARGEST_PICTURE = 1 << 26
"""Pixels; a picture or film that claims more is refused before it is decoded. OpenCV reads the limit when it is loaded."""

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(LARGEST_PICTURE))
