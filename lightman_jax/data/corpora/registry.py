"""Every corpus by its name, and the datasets of one or more corpora that `--dataset` takes."""

import dataclasses
from collections.abc import Mapping

# One line per corpus: `CORPORA` collects what is imported here.
from lightman_jax.data.corpora.base import Corpus
from lightman_jax.data.corpora.casme import CASME as CASME
from lightman_jax.data.corpora.casme2 import CASME2 as CASME2
from lightman_jax.data.corpora.casme3 import CASME3 as CASME3
from lightman_jax.data.corpora.casme3 import CASME3_C as CASME3_C
from lightman_jax.data.corpora.casme_squared import CASME_SQUARED as CASME_SQUARED
from lightman_jax.data.corpora.ck_plus import CK_PLUS as CK_PLUS
from lightman_jax.data.corpora.dfme import DFME as DFME
from lightman_jax.data.corpora.fer2013 import FER2013 as FER2013
from lightman_jax.data.corpora.fourdme import FOURDME as FOURDME
from lightman_jax.data.corpora.mmew import MMEW as MMEW
from lightman_jax.data.corpora.oulu_casia import OULU_CASIA as OULU_CASIA
from lightman_jax.data.corpora.ravdess import RAVDESS as RAVDESS
from lightman_jax.data.corpora.samm import SAMM as SAMM
from lightman_jax.data.corpora.samm_long import SAMM_LONG as SAMM_LONG
from lightman_jax.data.corpora.simulated_au import SIMULATED_AU as SIMULATED_AU
from lightman_jax.data.corpora.smic import SMIC as SMIC
from lightman_jax.data.corpora.smic import SMIC_NIR as SMIC_NIR
from lightman_jax.data.corpora.smic import SMIC_VIS as SMIC_VIS
from lightman_jax.data.corpora.smic_e import SMIC_E as SMIC_E
from lightman_jax.data.corpora.smic_e import SMIC_E_NIR as SMIC_E_NIR
from lightman_jax.data.corpora.smic_e import SMIC_E_VIS as SMIC_E_VIS
from lightman_jax.data.corpora.user_table import USER_TABLE as USER_TABLE

CORPORA = {corpus.name: corpus for corpus in list(globals().values()) if isinstance(corpus, Corpus)}
"""Every corpus by its name."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Corpora that are trained and tested together.

    Attributes:
      title: printed name.
      corpora: names in `CORPORA`.
      suspicious_uf1: pooled UF1 above which a leak is likely, by the corpora that were found: of the default view, and of other or
        several views.
    """

    title: str
    corpora: tuple[str, ...]
    suspicious_uf1: Mapping[frozenset[str], tuple[float, float]] = dataclasses.field(default_factory=dict)


_MEGC2019 = ("smic", "casme2", "samm")

# Choice: limits of SMIC and CASME II by `experiments.claims.ceiling`, the next hundredth. With SAMM: for one view as measured
# before, for views the limit without SAMM, because the whole composite is harder than its part.
DATASETS: dict[str, Dataset] = {
    **{name: Dataset(corpus.title, (name,)) for name, corpus in CORPORA.items() if "micro" in corpus.pools},
    "megc2018": Dataset("MEGC2018 composite", ("casme2", "samm")),
    "megc2019": Dataset(
        "MEGC2019 composite",
        _MEGC2019,
        {frozenset(_MEGC2019): (0.81, 0.88), frozenset({"smic", "casme2"}): (0.86, 0.88)},
    ),
}
"""Values of `--dataset`: every corpus with micro clips, and the composites."""

MACRO_CORPORA = tuple(name for name, corpus in CORPORA.items() if "macro" in corpus.pools)
"""Values of `--macro`: every corpus with macro clips."""
