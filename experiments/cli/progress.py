"""Progress of a command: lines at a slow pace, a live table of a training, lines in `metrics.jsonl`, optional TensorBoard files."""

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, ProgressBar, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from experiments.cli.flags import ConfigError
from experiments.cli.terminal import text_table
from lightman_jax.files import append_line
from lightman_jax.training.cross_validation import Progress

_ROWS, _MARKS, _LOSSES = 8, "▁▂▃▄▅▆▇█", 40
_SECONDS_PER_LINE = 10


class ProgressLines:
    """Prints at most one line in ten seconds, and none in the first ten; `now` returns seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._printed = now, now()

    def __call__(self, log: Callable[[str], None], text: str) -> None:
        """Print a line with `log`, or drop it."""
        if self._now() - self._printed >= _SECONDS_PER_LINE:
            self._printed = self._now()
            log(text)


print_progress = ProgressLines()
"""For the lines of all phases of a command, so that their number depends on its time alone."""


class TimeLeft:
    """Text with the seconds to go, at the pace since the first report: before it, programs are compiled or processes started."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def __call__(self, done: float, total: float) -> str:
        """`, 5 s to go`; empty at the first report."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        started, before = self._first
        return f", {(now - started) * (total - done) / (done - before):.0f} s to go" if done > before else ""


class TrainingProgress:
    """Callback for `train_folds` that reports every chunk of steps; use it in a `with` block.

    Args:
      data: name of the data, for the log.
      ensemble_size: networks per fold and seed.
      steps: steps of each training.
      trainings: number of trainings to run.
      workdir: folder of `metrics.jsonl`.
      console: a terminal shows the live table, any other output the lines of `print_progress`.
      summary_writer: from `open_summary_writer`, or None.
    """

    def __init__(
        self,
        data: str,
        ensemble_size: int,
        steps: int,
        trainings: int,
        workdir: Path,
        console: Console,
        summary_writer: Any = None,
    ) -> None:
        self._data, self._ensemble_size, self._steps, self._trainings = data, ensemble_size, steps, trainings
        self._console, self._summary_writer = console, summary_writer
        self._log = (workdir / "metrics.jsonl").open("a", encoding="utf-8")
        self._losses: deque[float] = deque(maxlen=_LOSSES)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Bar(*columns, TextColumn("to go"), TimeRemainingColumn(), console=console)
        self._task = self._bar.add_task("steps of all trainings", total=trainings * steps)
        self._live = Live(self._bar, console=console, refresh_per_second=4, transient=True)
        self._started, self._left = time.monotonic(), TimeLeft()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._log.close()

    def __call__(self, progress: Progress) -> None:
        """Report one chunk of steps."""
        elapsed = time.monotonic() - self._started
        done = progress.done + len(progress.jobs) * progress.step / self._steps
        self._losses.append(progress.loss)
        jobs = [
            {"fold": fold.name, "seed": number // self._ensemble_size, "member": number % self._ensemble_size}
            for fold, number in progress.jobs
        ]
        line = {"seconds": round(elapsed, 1), "step": progress.step, "loss": progress.loss}
        append_line(self._log, json.dumps({"data": self._data, **line, "folds": jobs}))
        if self._summary_writer is not None:
            self._summary_writer.add_scalar("training/current_loss", progress.loss, int(done * self._steps))
            self._summary_writer.add_scalar("training/trainings_done", done, int(done * self._steps))
        if self._console.is_terminal:
            self._bar.update(self._task, completed=int(done * self._steps))
            self._live.update(Group(progress_table(jobs, progress, self._steps, self._losses), self._bar))
        else:
            here = ", ".join(f"{job['fold']} seed {job['seed']}" for job in jobs[:2])
            text = f"{here} step {progress.step}/{self._steps} loss {progress.loss:.3f}"
            left = self._left(done, progress.total)
            text = f"{int(done)}/{progress.total} trained; {text}; {elapsed:.0f} s so far{left}"
            print_progress(self._console.print, text)


def progress_table(jobs: Sequence[Mapping[str, Any]], progress: Progress, steps: int, losses: Sequence[float]) -> Table:
    """Table of the running trainings, their step, and a sparkline of their mean loss."""
    few, most = min(losses), max(losses)
    marks = "".join(_MARKS[round((loss - few) / max(most - few, 1e-9) * (len(_MARKS) - 1))] for loss in losses)
    caption = f"{progress.done} of {progress.total} trainings finished; mean loss {progress.loss:.3f}  {marks}"
    table = text_table("held out", "seed", "training", f"of {steps} steps", caption=caption, caption_justify="left")
    for job in jobs[:_ROWS]:
        bar = ProgressBar(total=steps, completed=progress.step, width=30)
        table.add_row(job["fold"], str(job["seed"]), str(job["member"]), bar)
    if len(jobs) > _ROWS:
        table.add_row(f"and {len(jobs) - _ROWS} more", "", "", "")
    return table


@contextlib.contextmanager
def open_summary_writer(folder: Path | None) -> Iterator[Any]:
    """Context with a TensorBoard writer for a folder; None if `folder` is None.

    Raises:
      ConfigError: tensorboardX is not installed.
    """
    if folder is None:
        yield None
        return
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ConfigError("--tensorboard needs a package that is not installed: pip install tensorboardX") from error
    writer = SummaryWriter(str(folder), write_to_disk=True)
    try:
        yield writer
    finally:
        writer.close()


def write_curves(summary_writer: Any, histories: Sequence[Mapping[str, NDArray[np.float32]]]) -> None:
    """Write the mean of each metric over all trainings, step by step.

    Args:
      summary_writer: from `open_summary_writer`.
      histories: metrics of each training, `[steps]` each.
    """
    for name in histories[0]:
        for step, value in enumerate(np.mean([history[name] for history in histories], axis=0), start=1):
            summary_writer.add_scalar(f"mean_over_trainings/{name}", float(value), step)
