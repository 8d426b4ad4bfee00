"""Nothing gets in: every hostile file ends as an error for a person, or as text that does no harm.

Each goes through what the page and the worker do with a file. `python tests/unit/data/test_hostile_files.py
FOLDER`, with the repository's root as PYTHONPATH, prints how each one ends.
"""

import html.parser
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.hygiene import inspect
from data.readers.files import read_table
from data.sources import open_source
from data.tasks import TASKS
from data.tasks.own import USUAL, OwnTask
from finetuning.proposal import propose
from models.prompting import Prompter
from plumbing.errors import DataError

_spec = importlib.util.spec_from_file_location("hostile_files", Path(__file__).with_name("hostile_files.py"))
hostile_files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile_files)

LONGEST_S = 60
"""Of a processor's time, which other work on the machine does not lengthen. What is bounded takes a third of it."""
MOST_MEMORY_MB = 2_000
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


class Tags(html.parser.HTMLParser):
    """What a browser would make of a drawing."""

    def __init__(self):
        super().__init__()
        self.found = set()
        self.attributes = set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes.update(name for name, _ in attrs)


def draw_harmlessly(drawing):
    tags = Tags()
    tags.feed(str(drawing))
    assert tags.found <= {"div", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}, tags.found
    assert tags.attributes <= {"class", "scope", "tabindex", "role", "aria-label"}, tags.attributes
    assert not HIDDEN.search(str(drawing))


TASKS_TRIED = ("sentiment", "dialogue", "chats")
"""One of each kind that an uploaded file may be read as."""


def go_in(path, prompter_of=None, tasks=TASKS_TRIED):
    """What page and worker do with an uploaded file, for each of `tasks`; returns how it ended."""
    from ui.server.visitors import LOCAL
    from ui.tabs import data_form

    endings = []
    form = SimpleNamespace(mapping="mapping", input_column="input", target_column="target", also=None)
    for task in map(TASKS.__getitem__, tasks):
        chosen = data_form.read(task, "file", str(path), "", "guess", "guess", "")
        try:
            opened = open_source(chosen.source, task, columns=chosen.columns, labels=chosen.labels)
        except DataError as error:
            draw_harmlessly(data_form.problems(error, LOCAL))
            assert len(str(error)) < 20_000 and not HIDDEN.search(str(error))
            data_form.column_updates(form, None, data_form.columns_of(chosen))
            endings.append(f"{task.name} refused: {str(error).splitlines()[0]}")
            continue
        inspect(opened.splits, task)
        draw_harmlessly(data_form.summary(opened))
        draw_harmlessly(data_form.preview(opened))
        data_form.column_updates(form, opened)
        if prompter_of:
            encode_harmlessly(prompter_of(task), opened)
        endings.append(f"{task.name} opened: {sum(len(rows) for rows in opened.splits.values()):,} rows")
    return " | ".join(endings)


def come_as_ones_own(path, kinds=tuple(USUAL), *, inspected=True):
    """What is done with a file for a task of one's own, of each kind, and for one that has yet to be found."""
    endings = []
    for kind in kinds:
        task = OwnTask(kind=kind).definition()
        try:
            opened = open_source(f"file:{path}", task)
        except DataError as error:
            assert len(str(error)) < 20_000 and not HIDDEN.search(str(error))
            endings.append(f"{kind} refused: {str(error).splitlines()[0]}")
            continue
        inspect(opened.splits, opened.task)
        endings.append(f"{kind} opened: {sum(len(rows) for rows in opened.splits.values()):,} rows")
    if inspected:
        try:
            said = propose(str(path)).sentences()
        except DataError as error:
            said = [str(error)]
        assert not any(HIDDEN.search(sentence) for sentence in said), said
        assert all(len(sentence) < 20_000 for sentence in said)
    return " | ".join(endings)


def encode_harmlessly(prompter, opened):
    """No row brings a token of its own that stands for structure."""
    control = set(prompter.tokenizer.all_special_ids)

    def count(ids):
        return sum(token in control for token in ids)

    for row in list(opened.splits["train"])[:5]:
        given = row[opened.task.input_column]
        said = "plain" if isinstance(given, str) else [{**message, "content": "plain"} for message in given]
        plain = prompter.encode_row({opened.task.input_column: said, opened.task.target_column: "plain"})
        example = prompter.encode_row(row)
        assert count(example.input_ids) == count(plain.input_ids)
        assert count(example.input_ids[: example.completion_start]) == count(
            plain.input_ids[: plain.completion_start]
        )


@pytest.fixture(scope="module")
def prompter_of(tiny_llama):
    from models.loading import load_tokenizer
    from models.sources import resolve

    tokenizer = load_tokenizer(resolve(str(tiny_llama)))
    return lambda task: Prompter(tokenizer, task)


@pytest.fixture
def in_time():
    def stop(signum, frame):
        raise TimeoutError(f"more than {LONGEST_S} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def written(folder, name, writer):
    path = folder / name
    writer(path)
    return path


@pytest.mark.parametrize("what", list(hostile_files.HOSTILE))
def test_a_hostile_file_is_refused_or_harmless(what, tmp_path, prompter_of, in_time):
    path = written(tmp_path, *hostile_files.HOSTILE[what])
    go_in(path, prompter_of)
    come_as_ones_own(path)


def test_big_files_take_bounded_time_and_memory(tmp_path):
    """One process for all of them: its memory at the worst is what any of them took, and more."""
    fourths = list(hostile_files.FOURTHS)
    first, *others = hostile_files.BIG  # refused at once: what it takes, any file does
    files = [first, *fourths, *others]
    said = subprocess.run(
        [sys.executable, __file__, str(tmp_path), *files],
        capture_output=True,
        text=True,
        timeout=3600,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert said.returncode == 0, said.stderr[-2000:]
    endings = [json.loads(line) for line in said.stdout.splitlines()]
    assert [ending["what"] for ending in endings] == files
    idle_mb = endings[0]["memory_mb"]
    for ending in endings:
        share = 1 / 4 if ending["what"] in fourths else 1
        assert ending["memory_mb"] - idle_mb < (MOST_MEMORY_MB - idle_mb) * share, ending
        assert ending["seconds"] < LONGEST_S * share, ending


def test_there_are_enough_of_them():
    assert len(hostile_files.HOSTILE) + len(hostile_files.FOURTHS) + len(hostile_files.BIG) >= 60


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    import data.readers.files

    path = tmp_path / "a.csv"
    path.write_text(hostile_files.csv_of(), encoding="utf-8")
    real = data.readers.files.os.fdopen

    def grow(*arguments, **options):
        file = real(*arguments, **options)
        with path.open("a", encoding="utf-8") as more:
            more.write("late,positive\n")
        return file

    real_stat = data.readers.files.os.fstat
    size = path.stat().st_size
    monkeypatch.setattr(data.readers.files.os, "fdopen", grow)
    monkeypatch.setattr(
        data.readers.files.os,
        "fstat",
        lambda fd: type("S", (), {"st_size": size, "st_mode": real_stat(fd).st_mode}),
    )
    with pytest.raises(DataError, match="changed while it was read"):
        read_table(path)


EVERYTHING = {**hostile_files.HOSTILE, **hostile_files.FOURTHS, **hostile_files.BIG}
DIALOGUES = {"250,000 turns in JSON lines", "Parquet of one text in 100,000 lists"}
"""What gets further as dialogues than as reviews. A big file goes in for one task, as a person's does."""
OF_ONES_OWN = {
    "250,000 turns in JSON lines": "chat",
    "archive of 25 MB of texts": "text",
    "text of 25 MB": "text",
    "text of 90 MB without a gap": "text",
}
"""The same of what is only of use for a task of one's own, by its kind."""


def _main(folder, *chosen):
    import re

    paths = {}
    for number, what in enumerate(chosen or EVERYTHING):
        place = Path(folder) / str(number)
        place.mkdir()
        paths[what] = place / EVERYTHING[what][0]
    # Written by another process, so that its memory is not counted.
    places = {what: str(path) for what, path in paths.items()}
    write = f"import runpy; runpy.run_path({hostile_files.__file__!r})['write']({places!r})"
    subprocess.run([sys.executable, "-c", write], check=True)
    for what, path in paths.items():
        tasks = TASKS_TRIED
        if what in hostile_files.FOURTHS or what in hostile_files.BIG:
            tasks = ("dialogue",) if what in DIALOGUES else ("sentiment",)
        started = time.process_time()
        if what in OF_ONES_OWN:
            ended = come_as_ones_own(path, (OF_ONES_OWN[what],), inspected=False)
        else:
            ended = go_in(path, tasks=tasks)
        seconds = round(time.process_time() - started, 1)
        # Not `ru_maxrss`: a process starts with that of the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        memory_mb = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024
        print(json.dumps({"what": what, "ended": ended, "seconds": seconds, "memory_mb": memory_mb}), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
