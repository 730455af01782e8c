"""From a corpus as downloaded to arrays: readers, faces and optical flow, simulated clips, preparation."""

import os

MAX_IMAGE_PIXELS = 1 << 26
"""Larger images and video frames are refused before they are decoded. OpenCV reads the limit when it is loaded."""

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_IMAGE_PIXELS))
