"""Every corpus by its name, and the datasets of one or more corpora that `--dataset` takes."""

import dataclasses

from lightman_jax.data.corpora import (
    casme,
    casme2,
    casme3,
    casme_squared,
    ck_plus,
    dfme,
    fer2013,
    fourdme,
    mmew,
    oulu_casia,
    samm,
    samm_long,
    simulated_au,
    smic,
    smic_e,
    user_table,
)
from lightman_jax.data.corpora.base import Corpus

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        smic.SMIC,
        smic.SMIC_VIS,
        smic.SMIC_NIR,
        smic_e.SMIC_E,
        smic_e.SMIC_E_VIS,
        smic_e.SMIC_E_NIR,
        casme.CASME,
        casme2.CASME2,
        samm.SAMM,
        samm_long.SAMM_LONG,
        mmew.MMEW,
        casme_squared.CASME_SQUARED,
        casme3.CASME3,
        casme3.CASME3_C,
        fourdme.FOURDME,
        dfme.DFME,
        ck_plus.CK_PLUS,
        oulu_casia.OULU_CASIA,
        fer2013.FER2013,
        user_table.USER_TABLE,
        simulated_au.SIMULATED_AU,
    )
}
"""Every corpus; a new one needs a file of its own and a line here."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Corpora that are trained and tested together.

    Attributes:
      name: value of `--dataset`.
      title: printed name.
      corpora: names in `CORPORA`.
      suspicious_uf1: pooled UF1 above which a leak is likely, by the corpora that were found.
    """

    name: str
    title: str
    corpora: tuple[str, ...]
    suspicious_uf1: tuple[tuple[frozenset[str], float], ...] = ()


DATASETS: dict[str, Dataset] = {
    **{
        corpus.name: Dataset(corpus.name, corpus.title, (corpus.name,))
        for corpus in CORPORA.values()
        if "micro" in corpus.pools
    },
    "megc2018": Dataset("megc2018", "MEGC2018 composite", ("casme2", "samm")),
    "megc2019": Dataset(
        "megc2019",
        "MEGC2019 composite",
        ("smic", "casme2", "samm"),
        ((frozenset({"smic", "casme2", "samm"}), 0.81), (frozenset({"smic", "casme2"}), 0.85)),
    ),
}
"""Values of `--dataset`: every corpus with micro clips, and the composites."""

MACRO_CORPORA = tuple(corpus.name for corpus in CORPORA.values() if "macro" in corpus.pools)
"""Values of `--macro`."""
