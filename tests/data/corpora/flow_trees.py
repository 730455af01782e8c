"""Miniatures of the flow releases, written by tests."""

import numpy as np

from lightman_jax.data.vision.images import write_image

TABLE = "combined_3_class2_for_optical_flow.csv"
FIRST, SECOND, FALL = "megc2019_rise", "causalnet_rise", "causalnet_fall"
CLIPS = {
    ("smic", "s01", "s01_ne_01"): 0,
    ("smic", "s02", "s02_po_01"): 1,
    # A name that ends like an added file of another clip.
    ("casme2", "sub05", "EP19"): 2,
    ("casme2", "sub05", "EP19_1"): 0,
    ("samm", "006", "006_1_2"): 0,
    ("samm", "006", "006_1_3"): 1,
}


def write_release(folder, added=(), clips=CLIPS, labels=None, left_out=()):
    """A miniature release; `added` are the numbers of the added files, none in the first release."""
    images = folder / "STSNet_whole_norm_u_v_os"
    images.mkdir(parents=True)
    stems = [f"{subject}_{clip}" for _, subject, clip in clips]
    names = [stem + suffix for stem in stems for suffix in ("", *(f"_{number}" for number in added))]
    rng = np.random.default_rng(len(added))
    for name in dict.fromkeys(names):
        if name not in left_out:
            plain = images / f"{name}.png"
            write_image(plain, rng.integers(0, 255, (28, 28, 3)).astype(np.uint8))
            plain.rename(images / f"{name} .png")
    rows = [f"{corpus},{sub},{clip},{label}" for (corpus, sub, clip), label in (clips | (labels or {})).items()]
    (folder / TABLE).write_text("\n".join(["dataset,sub,filename_o,label", *rows]) + "\n")
    return folder
