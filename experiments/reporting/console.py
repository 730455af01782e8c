"""Tables on the terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.panel import Panel

from experiments.cli.terminal import text_table
from experiments.evaluation.comparison import Comparison
from experiments.evaluation.run_result import Estimate, RunResult, Scores
from lightman_jax.data.corpora.registry import DATASETS
from lightman_jax.data.synthetic.simulated_au import NAME as SIMULATED_AU

STAND_IN_TEXT = (
    "The clips are synthetic stand-ins, NOT a corpus. Their scores are not results on {title} or on real faces.\n"
    "With real data: python -m experiments.run --dataset={dataset} --data_dir=FOLDER"
)


def print_stand_in_box(console: Console, dataset: str) -> None:
    """Print a box that states that the data are synthetic."""
    # A simulated corpus has no real counterpart.
    text = STAND_IN_TEXT.format(title=DATASETS[dataset].title, dataset="smic" if dataset == SIMULATED_AU else dataset)
    console.print(Panel(text, title="STAND-IN DATA", width=min(console.width, 110), style="yellow"))


def headline(result: RunResult) -> str:
    """One line: method, data, and numbers of folds, seeds, clips and subjects."""
    scores = scores_of(result)
    counts = "/".join(str(count) for count in scores.class_counts.values())
    return (
        f"{result.method} on {result.title}: {scores.folds}/{scores.folds_expected} folds, "
        f"{seeds_text(scores)}, {scores.clips} clips ({counts}) of {scores.subjects} subjects"
    )


def scores_of(result: RunResult) -> Scores:
    """The scores of a run that keeps predictions of folds.

    Raises:
      ValueError: the run keeps episodes.
    """
    if result.scores is None:
        raise ValueError(f"a run of {result.protocol} keeps episodes, not predictions of folds")
    return result.scores


def seeds_text(scores: Scores) -> str:
    """`1 seed` or `5 seeds`."""
    count = len(scores.seeds)
    return f"{count} seed{'s' if count > 1 else ''}"


def print_results(console: Console, result: RunResult) -> None:
    """Print the headline, the pooled scores, and scores per class and per subject."""
    scores = scores_of(result)
    console.print()
    console.print(headline(result), style="bold")
    absent = (f"class {name} has no clip" for name in scores.absent_classes)
    for line in (*result.missing, *absent):
        console.print(f"{'data' if line in result.notes else 'incomplete'}: {line}", style="yellow")
    console.print(f"{result.rule}; data: {result.data.origin}")
    title = f"Pooled over folds, mean ± sd over {seeds_text(scores)} [95% subject bootstrap]"
    table = text_table("", "UF1", "UAR", "accuracy", title=title)
    table.add_row("all", *map(_estimate, (scores.uf1, scores.uar, scores.accuracy)))
    for name, part in scores.per_corpus.items():
        table.add_row(f"{name}, {part.clips} clips", *map(_estimate, (part.uf1, part.uar, part.accuracy)))
    console.print(table)
    table = text_table("class", "clips", "F1", "recall", title="Per class, mean over seeds")
    for name, own in scores.per_class.items():
        recall = "-" if own.recall is None else f"{own.recall:.3f}"
        table.add_row(name, str(own.clips), f"{own.f1:.3f}", recall)
    console.print(table)
    table = text_table("subject", "clips", "/".join(scores.classes), "accuracy", title="Per subject, mean over seeds")
    for name, subject in scores.per_subject.items():
        counts = "/".join(map(str, subject.class_counts))
        table.add_row(name, str(subject.clips), counts, f"{subject.accuracy:.3f}")
    console.print(table)


def print_baselines(console: Console, result: RunResult) -> None:
    """Print UF1 of each baseline and the difference between the run and it, or that no baseline was run."""
    if not result.baselines:
        console.print("no baseline was run: add --baselines=default for a comparison", style="yellow")
        return
    title = f"Baselines, and {result.method} minus each baseline"
    table = text_table("baseline", "UF1", "difference of UF1 [95%]", "p (Holm)", title=title)
    for row in result.baselines:
        difference = _difference(row.difference, None, row.interval)
        table.add_row(row.name, _mean_sd(row.uf1, row.sd), difference, f"{row.p_holm:.4f}")
    console.print(table)


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print UF1 of each run and the difference of each pair."""
    runs = text_table("run", "UF1", title="UF1, mean ± sd over seeds")
    for run in comparison.runs:
        runs.add_row(run.name, _mean_sd(run.uf1, run.sd))
    low, high = comparison.chance
    runs.caption = f"95% of random predictions score between {low:.3f} and {high:.3f}"
    console.print(runs)
    heads = ("first", "second", "difference of UF1 [95%]", "p", "p (Holm)", "effect")
    table = text_table(*heads, title="First run minus second run")
    table.caption = "p: two-sided sign-flip test over subjects; Holm-corrected for all pairs of this table"
    for pair in comparison.pairs:
        difference = _difference(pair.difference, pair.sd, pair.interval)
        effect = "" if pair.effect is None else f"{pair.effect:+.2f}"
        table.add_row(pair.first, pair.second, difference, f"{pair.p:.4f}", f"{pair.p_holm:.4f}", effect)
    console.print(table)


def print_model_scores(console: Console, scores: Mapping[str, Scores], comparison: Comparison | None) -> None:
    """Print the scores of a model and of baselines on all clips and on those of each corpus, and the differences of UF1.

    The model is the first of `scores`; `comparison` compares it with each of the others.
    """
    pairs = {} if comparison is None else {pair.second: pair for pair in comparison.pairs}
    table = text_table("", "clips", "UF1 [95%]", "UAR [95%]", "model minus it, UF1", "p (Holm)")
    for name, own in scores.items():
        pair = pairs.get(name)
        cells = ("", "") if pair is None else (_difference(pair.difference, None, pair.interval), f"{pair.p_holm:.4f}")
        table.add_row(name, str(own.clips), _estimate(own.uf1), _estimate(own.uar), *cells)
        for corpus, part in own.per_corpus.items():
            table.add_row(f"  {corpus}", str(part.clips), _estimate(part.uf1), _estimate(part.uar), "", "")
    if comparison is not None:
        low, high = comparison.chance
        table.caption = f"95% of random predictions have a UF1 between {low:.3f} and {high:.3f}"
    console.print(table)


def print_episodes(console: Console, result: RunResult) -> None:
    """Print the scores of a protocol with labelled test clips, one row per way to use these clips."""
    episodes = result.episodes
    assert episodes is not None
    table = text_table("way", episodes.measure, "minus not adapted", title=f"{result.protocol}, {result.rule}")
    for name, row in episodes.ways.items():
        difference = ""
        if row.difference is not None and row.difference_interval is not None:
            difference = _difference(row.difference, None, row.difference_interval)
        if row.p is not None:
            difference += f", p {row.p:.4f}"
        table.add_row(name, f"{row.mean:.3f} {_interval(row.interval, '.3f')}", difference)
    console.print(table)
    if episodes.skipped:
        console.print(f"too few clips for an episode: {', '.join(episodes.skipped)}", style="yellow")


def _estimate(score: Estimate) -> str:
    return f"{_mean_sd(score.mean, score.sd)} {_interval(score.interval, '.3f')}"


def _difference(mean: float, sd: float | None, interval: tuple[float, float]) -> str:
    return f"{mean:+.3f}{'' if sd is None else f' ± {sd:.3f}'} {_interval(interval, '+.3f')}"


def _mean_sd(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}{'' if sd is None else f' ± {sd:.3f}'}"


def _interval(interval: tuple[float, float], form: str) -> str:
    return f"[{interval[0]:{form}}, {interval[1]:{form}}]"
