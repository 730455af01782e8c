"""Evaluation protocols: which folds there are, and which there should be."""

import dataclasses
from typing import Any

import numpy as np

from lightman_jax.data.corpora.catalog import CORPORA, PROTOCOLS
from lightman_jax.data.corpora.records import DataError
from lightman_jax.training.folds import Fold, leave_one_subject_out
from lightman_jax.types import ClipSet


@dataclasses.dataclass(frozen=True)
class Plan:
    """Folds to run and what a complete protocol has.

    Attributes:
      title: how the protocol is printed.
      folds: one a subject, or one a corpus.
      folds_expected: of the complete protocol, over the corpora that are there.
      missing: what the complete protocol has and the data have not, in words.
    """

    title: str
    folds: list[Fold]
    folds_expected: int
    missing: list[str]


def leave_one_corpus_out_plan(dataset: str, micro: ClipSet, macro: ClipSet | None, manifest: dict[str, Any]) -> Plan:
    """Plan one fold a corpus: trained on the others, tested on it; macro clips of the corpus leave with it.

    Two corpora with the classes by action units are the holdout-database evaluation of MEGC2018.

    Args:
      dataset: the protocol's name in the catalog.
      micro: micro clips.
      macro: macro clips or None.
      manifest: of the prepared data.

    Raises:
      DataError: there is only one corpus, or a class is missing.
    """
    whole = leave_one_subject_out_plan(dataset, micro, macro, manifest)
    corpora = sorted(set(micro.dataset))
    if len(corpora) < 2:
        raise DataError(
            f"leave_one_dataset_out needs two corpora or more, found {', '.join(corpora)}; take --dataset=megc2019, or --protocol=loso"
        )
    own, other = np.array(micro.dataset), np.array(micro.dataset if macro is None else macro.dataset)
    folds = [
        Fold(name=name, test=np.flatnonzero(own == name), train=own != name, macro_train=other != name)
        for name in corpora
    ]
    expected = max(len(PROTOCOLS[dataset].corpora), len(folds))
    return Plan(f"{whole.title}, one corpus left out", folds, expected, whole.missing)


def leave_one_subject_out_plan(dataset: str, micro: ClipSet, macro: ClipSet | None, manifest: dict[str, Any]) -> Plan:
    """Plan leave-one-subject-out over every corpus that is there, and name what is not.

    Args:
      dataset: the protocol's name in the catalog.
      micro: micro clips.
      macro: macro clips or None.
      manifest: of the prepared data.

    Raises:
      DataError: a class or all but one subject is missing, so that nothing can be held out.
    """
    protocol = PROTOCOLS[dataset]
    absent = [name for index, name in enumerate(micro.classes) if not (micro.label == index).any()]
    if absent:
        raise DataError(
            f"no clip of class {', '.join(absent)} is there; {protocol.title} needs every class of {', '.join(micro.classes)}"
        )
    try:
        folds = leave_one_subject_out(micro.subject, macro.subject if macro is not None else ())
    except ValueError as error:
        raise DataError(str(error)) from error
    if manifest["stand_in"]:
        return Plan(f"{protocol.title} stand-in (invented clips)", folds, len(folds), [])
    present = set(micro.dataset)
    missing = [f"{CORPORA[name].title} is not there" for name in protocol.corpora if name not in present]
    expected = 0
    for count in manifest["counts"]:
        if count["pool"] == "micro":
            expected += count["published_subjects"] or count["subjects"]
            clips = sum(count["found"].values())
            if count["published"] and clips != sum(count["published"].values()):
                missing.append(f"{count['title']} has {clips} of {sum(count['published'].values())} clips")
    title = (
        protocol.title
        if manifest["labels"] == "3"
        else f"{protocol.title}, {len(micro.classes)} classes ({manifest['labels']})"
    )
    return Plan(title, folds, max(expected, len(folds)), missing + list(manifest["notes"]))
