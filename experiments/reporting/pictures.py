"""Put a drawn figure on disk, whole or not at all."""

import io
import warnings
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lightman_jax.files import write_whole

matplotlib.use("Agg")


def save_figure(path: Path, figure: Figure, dpi: int = 120) -> None:
    """Write a figure as PNG and close it; errors as `write_whole`."""
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        # A file's name may be written in letters that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(drawn, format="png", dpi=dpi)
    plt.close(figure)
    write_whole(path, drawn.getvalue())
