"""Tables of the check of a download: clips by class and subject, labels as written, deviations, problems, notes and corrections."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from experiments.cli.terminal import text_table
from lightman_jax.data.preparation.check import Check
from lightman_jax.data.records import faults

_MAX_LISTED, _MAX_LABELS = 40, 12


def print_check(console: Console, check: Check, views: Sequence[str] = ()) -> None:
    """Print counts, `views` that are used with the clips of a flow release that have them, problems, notes and corrections."""
    reading, classes = check.reading, check.space.classes
    synthetic = " (SYNTHETIC STAND-IN CLIPS)" if reading.stand_in else ""
    space = f"{len(classes)} classes, --labels={check.space.name}"
    console.print(f"layout {reading.layout} in {reading.place}{synthetic}; {space}")
    columns = ("corpus", "pool", "clips", *classes, "subjects", "deviates from the published numbers")
    counts = text_table(*columns, title="Found")
    for count in check.counts:
        numbers = [sum(count.found.values()), *(count.found[name] for name in classes), count.subjects]
        deviation = "" if reading.stand_in else count.deviation or ("no" if count.published else "unknown")
        counts.add_row(count.title, count.pool, *map(str, numbers), deviation)
    console.print(counts)
    labels = text_table("corpus", "pool", "class", "labels as written, with their clips", title="Labels")
    for count in check.counts:
        for name in (*classes, None):
            if written := [(one.written or "none", one.clips) for one in count.labels if one.label == name]:
                labels.add_row(count.title, count.pool, "not used" if name is None else name, _listed(written))
    console.print(labels)
    if views:
        _print_views(console, check, views)
    if reading.problems:
        number = len(reading.problems)
        problems = text_table("where", "expected", "found", "remedy", title=f"{number} problems", show_lines=True)
        for problem in sorted(reading.problems, key=lambda problem: not problem.lost)[:_MAX_LISTED]:
            problems.add_row(problem.where, problem.expected, problem.found, problem.remedy)
        console.print(problems)
        if number > _MAX_LISTED:
            console.print(f"and {number - _MAX_LISTED} more; --check writes all to a JSON file")
    for note in reading.notes:
        console.print(f"note: {note}")
    for correction in reading.corrections:
        console.print(f"correction: {correction}")
    lost, by_default = len(faults(reading.problems)), sum(bool(problem.flag) for problem in reading.problems)
    total = f"{'' if lost or by_default else 'all '}{len(reading.clips)} clips can be used"
    cannot = f"; {lost} clips or rows cannot" if lost else ""
    console.print(f"{total}{cannot}{f'; {by_default} are left out by default' if by_default else ''}")


def _print_views(console: Console, check: Check, views: Sequence[str]) -> None:
    clips = check.reading.clips
    if not any(clip.views for clip in clips):
        console.print(f"views: {', '.join(views)}, computed from each clip")
        return
    table = text_table("corpus", "pool", "clips", *views, title="Views")
    for count in check.counts:
        own = [clip for clip in clips if (clip.corpus, clip.pool) == (count.corpus, count.pool)]
        having = Counter(view for clip in own for view in clip.views or views)
        table.add_row(count.title, count.pool, str(len(own)), *(str(having[view]) for view in views))
    console.print(table)


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    more = len(counts) - _MAX_LABELS
    listed = ", ".join(f"{text} {number}" for text, number in counts[:_MAX_LABELS])
    return f"{listed} and {more} more" if more > 0 else listed
