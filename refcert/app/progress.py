"""Progress bars on standard error, with rate and remaining time; silent where nobody watches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

# Below this rate whole numbers say too little (and 0 per second would be false).
_SLOW = 10


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "")
        if not speed:
            return Text("")
        return Text(
            f"{speed:,.0f} {unit}/s" if speed >= _SLOW else f"{speed:.2g} {unit}/s", style="progress.data.speed"
        )


class Progress:
    """`with progress.task("certifying", 100, unit="samples") as tick: tick(1)`."""

    def __init__(self, console: Console | None) -> None:
        self._bars = None
        if console is not None and console.is_terminal:
            self._bars = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )

    @contextlib.contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """A bar while the block runs; yields a function that advances it."""
        if self._bars is None:
            yield lambda _: None
            return
        bars = self._bars
        outermost = not bars.live.is_started
        if outermost:
            bars.start()
        task = bars.add_task(description, total=total, unit=unit)
        try:
            yield lambda count: bars.update(task, advance=count)
        finally:
            bars.remove_task(task)
            if outermost:
                bars.stop()
