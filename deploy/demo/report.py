"""What is shown at the end: the table, what went wrong, and where to look deeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.demo.audit import Summary, Verdict, summarise
from deploy.demo.cast import LIAR
from deploy.demo.play import Course
from schemas.states import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    job_id: str
    verdicts: Sequence[Verdict]
    course: Course
    pixels: int
    wrong_pixels: int
    """Of the file written, compared with the reference."""
    killed: str
    liar: str
    seconds: float
    """Of the whole demo."""

    @property
    def summary(self) -> Summary:
        return summarise(self.verdicts)

    def problems(self) -> list[str]:
        """What is not as it has to be; empty: all is well."""
        found = []
        if self.course.state != TaskState.SUCCEEDED:
            found.append(f"the job {self.course.state}")
        if self.wrong_pixels:
            found.append(f"{self.wrong_pixels} of {self.pixels} pixels are wrong")
        if self.course.killed_at is None:
            found.append("no giver was killed: the job ended before the liar was caught once")
        elif self.course.purge_s is None:
            found.append(f"{self.killed} was killed, but not purged")
        wrong = self.summary.wrong
        if not wrong.get(self.liar):
            found.append(f"{self.liar} was never caught lying")
        found += [
            f"{giver} is honest, but {count} of its votes lost"
            for giver, count in wrong.items()
            if giver != self.liar
        ]
        return found

    def print(self, console: Console, picture: Path) -> None:
        summary, course = self.summary, self.course
        purge = "not seen" if course.purge_s is None else f"after {course.purge_s:.1f} s"
        settled = f"{summary.outvoted} by a third giver, {summary.disputed} by reputation"
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        lies = summary.wrong.get(self.liar, 0)
        rows = {
            "tiles": f"{summary.tiles}",
            "runs that voted": f"{summary.runs}",
            "disagreements settled": f"{summary.outvoted + summary.disputed}: {settled}",
            "lies": f"{lies} by {self.liar}",
            "giver killed": self.killed,
            "giver purged": purge,
            "pixels": f"{self.pixels}, of these wrong: {self.wrong_pixels}",
            "seconds": f"{course.seconds:.0f} for the job, {self.seconds:.0f} in all",
            "picture": str(picture),
        }
        for name, value in rows.items():
            table.add_row(f"[dim]{name}[/]", escape(value))
        console.print()
        console.print(table)

    def print_commands(self, console: Console, env: Mapping[str, str], job_file: Path) -> None:
        """What to type to see how it came about, with the ids of this run."""
        disagreed = next((v for v in self.verdicts if v.differing), self.verdicts[0])
        commands = {
            f"seeker status {self.job_id}": "the job",
            f"seeker status {disagreed.task_id}": "a tile that givers disagreed about",
            f"channel results {disagreed.task_id}": "every answer to it",
            f"curl {env['CHANNEL_URL']}/v1/results/{disagreed.chosen}": "the one believed",
            "seeker givers --all": "what became of the givers",
            f"seeker enqueue -f {job_file}": "once more",
            f"python -m deploy.local restart {LIAR}": "an honest giver in the liar's place",
            "make down": "stop all this; it runs on until then",
        }
        console.print("\nTo look deeper (first: [bold]. .venv/bin/activate[/]):\n")
        for command, purpose in commands.items():
            # Never wrapped, and the purpose a comment: a line can be copied as it is.
            console.print(f"  {escape(command):<44} [dim]# {purpose}[/]", soft_wrap=True)
