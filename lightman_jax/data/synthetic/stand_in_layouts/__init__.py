"""Writers of stand-in clips in the layout of each corpus's download; readers are tested against trees they did not write."""

from lightman_jax.data.synthetic.stand_in_layouts.files import Writer
from lightman_jax.data.synthetic.stand_in_layouts.macro import MACRO_WRITERS
from lightman_jax.data.synthetic.stand_in_layouts.micro import MICRO_WRITERS

WRITERS: dict[str, Writer] = {**MICRO_WRITERS, **MACRO_WRITERS}
"""Writer of each corpus by its name in the catalog."""
