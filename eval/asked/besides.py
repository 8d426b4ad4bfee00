"""What is measured beside the verdict, where somebody asks for it: a judge's opinion, and standard benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plumbing.errors import RecipeError, UserError

if TYPE_CHECKING:
    from data.tasks import Task
    from eval.provenance import Progress
    from eval.sides.endpoint import Settings
    from eval.sides.side import Asked
    from eval.verdict.judge_prompt import Contest
    from eval.verdict.schema import Verdict, VerdictRow
    from eval.verdict.standard import Chosen
    from eval.verdict.voted import Voted


class NotAllMeasuredError(UserError):
    """What was asked for beside a verdict could not be measured; the verdict itself is whole."""

    def __init__(self, error: UserError, verdict: Verdict, rows: list[VerdictRow]) -> None:
        super().__init__(error.problem, got=error.got, fix=error.fix)
        self.verdict, self.rows = verdict, rows


@dataclass(frozen=True)
class Besides:
    """What a person asked for, read and found to be possible."""

    judge: Asked | None = None
    rubric: str = ""
    voted: Voted | None = None
    standard: Sequence[Chosen] = ()
    folder: Path | None = None
    """Of task files of lm-evaluation-harness beside its own."""
    servers: Settings | None = None
    """How servers are asked, and which may be."""

    def check(self, task: Task) -> None:
        """Refuse before anything is asked what such a task has no use for, or what is not there.

        Raises:
            UserError: there is nothing to judge about labels, the judge cannot be found or does not answer, or
                there is no such benchmark.
        """
        if self.judge is not None:
            if task.is_classification:
                raise RecipeError(
                    "There is nothing to judge about labels: they are right or wrong",
                    got=task.name,
                    fix="Leave out --judge, or give rows that are answered in words.",
                )
            _look_at(self.judge, self.servers)
        if self.standard:
            from eval.verdict.standard import require_tasks

            require_tasks(self.standard, self.folder)

    def added(
        self,
        verdict: Verdict,
        rows: list[VerdictRow],
        sides: Sequence[Asked],
        task: Task,
        on_progress: Progress | None,
    ) -> tuple[Verdict, list[VerdictRow]]:
        """The verdict and its rows with what was asked for.

        Raises:
            NotAllMeasuredError: the judge cannot be asked, or a benchmark cannot be run.
        """
        try:
            if self.judge is not None:
                verdict, rows = self._judged(verdict, rows, on_progress)
            if self.standard:
                verdict = self._measured(verdict, sides, task, on_progress)
        except UserError as error:
            lacking = f"Not all that was asked for could be measured. {error}"
            raise NotAllMeasuredError(
                error, verdict.model_copy(update={"notes": [*verdict.notes, lacking]}), rows
            ) from None
        return verdict, rows

    def _judged(
        self, verdict: Verdict, rows: list[VerdictRow], on_progress: Progress | None
    ) -> tuple[Verdict, list[VerdictRow]]:
        from eval.provenance import telling
        from eval.sides.named import open_side
        from eval.verdict.judge import judge_answers
        from eval.verdict.judge_prompt import TASK
        from eval.verdict.schema import SideInfo

        assert self.judge is not None
        keys = [each.tuned for each in verdict.comparisons]
        contests = {key: [_contest(row, verdict.sides[0].info.key, key) for row in rows] for key in keys}
        side = open_side(self.judge, TASK, servers=self.servers)
        try:
            known = {name: value for name, value in asdict(side.about).items() if name in SideInfo.model_fields}
            found = judge_answers(
                side,
                contests,
                info=SideInfo.model_validate(known | {"key": "judge", "notes": list(side.about.notes)}),
                rubric=self.rubric,
                voted=self.voted.pairs if self.voted else (),
                on_rows=telling(on_progress)(f"{side.about.name} judges"),
            )
        finally:
            side.close()
        with_opinion = [
            row.model_copy(update={"preferred": {key: found.preferred[key][place] for key in keys}})
            for place, row in enumerate(rows)
        ]
        notes = [*verdict.notes, *(self.voted.notes if self.voted else ())]
        return verdict.model_copy(update={"judged": found.judged, "notes": notes}), with_opinion

    def _measured(
        self, verdict: Verdict, asked: Sequence[Asked], task: Task, on_progress: Progress | None
    ) -> Verdict:
        from eval.sides.named import open_sides
        from eval.verdict.standard import measure_standard

        opened = open_sides(asked, task, servers=self.servers)
        try:
            keys = [side.info.key for side in verdict.sides]
            found = measure_standard(
                dict(zip(keys, opened, strict=True)),
                self.standard,
                folder=self.folder,
                on_side=None
                if on_progress is None
                else lambda key, done, total: on_progress(f"Benchmarks {key}", done, total),
            )
        finally:
            for side in opened:
                side.close()
        return verdict.model_copy(update={"standard": found.tasks, "notes": [*verdict.notes, *found.notes]})


def besides(
    judge: Asked | None,
    rubric: Path | None,
    votes: Path | None,
    tasks: str | None,
    folder: Path | None,
    servers: Settings | None = None,
) -> Besides:
    """What was asked for, by the words of it; `servers` as for the sides themselves.

    Raises:
        UserError: a file cannot be read, a benchmark is none, or something is said of a judge that is not asked.
    """
    if judge is None and (rubric or votes):
        raise UserError(
            "There is no judge to give that to", got=str(rubric or votes), fix="Name one: --judge SIDE."
        )
    if tasks is None and folder is not None:
        raise UserError(
            "There is no benchmark to look for there", got=str(folder), fix="Name some: --lm-eval NAME."
        )
    standard: list[Chosen] = []
    if tasks is not None:
        from eval.verdict.standard import Chosen, require_lm_eval

        require_lm_eval()
        standard = Chosen.several(tasks)
    if judge is None:
        return Besides(standard=standard, folder=folder, servers=servers)
    from eval.verdict.judge_prompt import read_rubric
    from eval.verdict.voted import read_voted

    voted = read_voted(votes) if votes is not None else None
    return Besides(judge, read_rubric(rubric), voted, standard, folder, servers)


def _look_at(judge: Asked, servers: Settings | None) -> None:
    """Refuse a judge that is not there, or gives no opinion in words. A server is asked for its models."""
    from eval.sides.looking import look
    from eval.sides.named import open_side
    from eval.verdict.judge_prompt import TASK

    found = look(judge.text)
    if found.kind == "classifier":
        raise RecipeError("A judge says in words which answer is better, and this is a classifier", got=judge.text)
    if found.kind == "endpoint":
        open_side(judge, TASK, servers=servers).close()


def _contest(row: VerdictRow, base: str, tuned: str) -> Contest:
    from eval.verdict.judge_prompt import Contest

    given = row.input if row.messages is None else [message.model_dump() for message in row.messages]
    return Contest(given, row.answers[base].text, row.answers[tuned].text, tuple(row.references))
