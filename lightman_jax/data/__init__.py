"""Data of all kinds: readers of corpora, faces and optical flow, simulated clips, and preparation for training."""

import os

from lightman_jax.data.corpora.trees import MAX_IMAGE_PIXELS

# OpenCV reads the limit when it is loaded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_IMAGE_PIXELS))
