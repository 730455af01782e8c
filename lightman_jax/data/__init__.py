"""Data of all kinds: readers of corpora, faces and optical flow, simulated clips, and preparation for training."""

import os

from lightman_jax.data.folders.trees import MAX_IMAGE_PIXELS

# OpenCV reads these when it is loaded. Damaged files are reported by exceptions, not by its log.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_IMAGE_PIXELS))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
