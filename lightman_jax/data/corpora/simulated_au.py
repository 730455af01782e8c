"""Facts of the corpus that `lightman_jax.data.synthetic.simulated_au` simulates from action units; it has no files to read."""

from lightman_jax.data.corpora.base import BASIC_EMOTIONS, Corpus

SIMULATED_AU = Corpus(
    name="simulated_au",
    title="simulated action units",
    obtain="it is simulated",
    find=lambda data_dir: [],
    read=lambda collector: None,
    pools=("micro", "macro"),
    emotions=dict.fromkeys(("negative", "positive", "surprise", *BASIC_EMOTIONS, "repression", "tense", "others"), 0),
    classes={"7": BASIC_EMOTIONS},
)
