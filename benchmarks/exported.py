"""python -m benchmarks.exported: what was exported of the adapters that ship, beside the adapters themselves.

Each is merged, written as GGUF in float16 and in eight bits, and as a LoRA by itself; transformers opens what it
reads, llama.cpp the files. All answer the same test rows as the adapter and the base: how many answers are the
adapter's, letter for letter, and what the paired test says of each against the base. Where the numbers are to be
had, the adapter's next token behind each token of the reference is compared with the form's, and its probabilities:
the mean Kullback-Leibler divergence, in nats a token.

    python -m benchmarks.exported --rows 100 --into benchmarks/RESULTS.md
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.utils.logging import disable_progress_bar

from benchmarks import machine, results
from benchmarks.llama_server import llama_server
from eval.asked.comparing import compared
from eval.asked.request import Request
from eval.sides.endpoint import Settings
from eval.verdict.schema import Verdict, VerdictRow
from finetuning.export.checking import rows_to_ask, task_file
from finetuning.export.forms import Options, export
from finetuning.export.gguf.writing import Language, write_gguf
from finetuning.export.tuned import Tuned
from finetuning.export.work import Work
from finetuning.judged_rows import choose_rows
from models.gguf_files import resolve_gguf
from models.loading import best_precision, load
from models.pair import Pair, open_pair
from models.resolved import ResolvedModel
from models.sources import resolve
from models.tuned import bundled_folder

if TYPE_CHECKING:
    import torch

    from models.encoded import EncodedExample

ADAPTERS = ("sentiment-smollm2-lora", "dialogue-smollm2-qlora")
NEW_TOKENS = 64


@dataclass(frozen=True)
class Form:
    """One way in which what was tuned is asked."""

    title: str
    side: str
    """As `python -m eval compare` is told it: a folder, a file, an address."""
    source: ResolvedModel | None = None
    """What transformers opens; None of a server."""
    bytes: int = 0
    """On disk, the base apart."""


@dataclass(frozen=True)
class Alike:
    """How far a form computes what the adapter does, at the tokens of the references."""

    tokens: int
    same: int
    """Of them, those where both find the same token the most probable."""
    divergence: float
    """Of the form's probabilities from the adapter's, nats a token."""


@dataclass(frozen=True)
class Measured:
    """One adapter and its forms."""

    name: str
    forms: Sequence[Form]
    alike: Mapping[str, Alike]
    """By the form's title."""
    verdict: Verdict
    """The base, the adapter, and the forms in their order."""
    rows: Sequence[VerdictRow]


def measure(adapter: Path, *, rows: int, threads: int = 2) -> Measured:
    """Export the adapter in every form, and ask them all.

    Args:
        adapter: its folder.
        rows: of its test rows.
        threads: of llama.cpp's servers.
    """
    tuned = Tuned.of(adapter)
    with tempfile.TemporaryDirectory() as kept, ExitStack() as servers:
        folder = Path(kept)
        forms = list(_forms(tuned, folder, servers, threads))
        data = rows_to_ask(tuned, rows, folder)
        references = list(choose_rows(adapter, rows=rows).rows)
        results.tell(f"  {len(references)} rows: next tokens")
        sources = {form.title: form.source for form in forms if form.source}
        like = alike(open_pair(adapter), sources, references)
        results.tell("  answers")
        verdict, found = compared(
            Request(
                base=tuned.origin.name,
                tuned=[str(adapter), *(form.side for form in forms)],
                data=data,
                task=str(task_file(tuned, folder)),
                rows=rows,
                max_new_tokens=NEW_TOKENS,
                keep_trained=True,  # those that were trained on are left out already
                one_by_one=True,
            ),
            servers=Settings(keep=False),
        )
    return Measured(tuned.name, forms, like, verdict, found)


def _forms(tuned: Tuned, folder: Path, servers: ExitStack, threads: int) -> Iterator[Form]:
    """Written into `folder`; servers end with `servers`."""
    merged = _written(tuned, "merged", folder / "merged", Options())
    yield Form("merged, bfloat16", str(merged), resolve(str(merged)), _size(merged))
    for packing in ("f16", "q8_0"):
        file = _written(tuned, "gguf", folder / packing / "model.gguf", Options(packing=packing))
        yield Form(f"GGUF {packing}", str(file), resolve_gguf(file), _size(file))
        address = servers.enter_context(llama_server(file, slots=1, threads=threads))
        yield Form(f"GGUF {packing}, llama.cpp", address, bytes=_size(file))
    lora = _written(tuned, "gguf", folder / "lora.gguf", Options(adapter_alone=True))
    base = folder / "base.gguf"
    write_gguf(Language.in_folder(resolve(tuned.origin.name).path), base, Work())
    address = servers.enter_context(llama_server(base, lora=lora, slots=1, threads=threads))
    yield Form("LoRA on the base's f16, llama.cpp", address, bytes=_size(lora))


def _written(tuned: Tuned, form: str, target: Path, options: Options) -> Path:
    results.tell(f"  writing {target.name}")
    return export(tuned.folder, form, target, options=options).path


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


# ---- next tokens -------------------------------------------------------------------------------------------


def alike(pair: Pair, forms: Mapping[str, ResolvedModel], rows: Sequence[Mapping[str, Any]]) -> dict[str, Alike]:
    """How far each form computes what the adapter does; one of them is in memory at a time, beside it.

    Args:
        pair: the adapter.
        forms: by what they are called.
        rows: whose references are read.
    """
    assert pair.prompter is not None
    encoded = pair.prompter.encode_rows(rows)
    found = {}
    for title, source in forms.items():
        other = load(source)
        tokens = same = 0
        divergence = 0.0
        for each in encoded:
            with pair.side(True) as model:
                own = _log_probabilities(model, each)
            its = _log_probabilities(other.model, each)
            tokens += len(own)
            same += int((own.argmax(-1) == its.argmax(-1)).sum())
            divergence += float((own.exp() * (own - its)).sum())
        found[title] = Alike(tokens, same, divergence / tokens)
    return found


def _log_probabilities(model: Any, row: EncodedExample) -> torch.Tensor:
    """Of every token that may follow where the row's are learned, [tokens, V], float32."""
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([row.input_ids], device=model.device)).logits[0]
    places = [at - 1 for start, end in row.spans for at in range(start, end)]
    return torch.log_softmax(logits[places].float(), -1).cpu()


# ---- the table ---------------------------------------------------------------------------------------------


def markdown(found: Measured) -> str:
    """One adapter's table."""
    verdict, count = found.verdict, len(found.rows)
    adapter = verdict.sides[1].info.key
    body = []
    for form, side, comparison in zip(
        (Form("the adapter", ""), *found.forms), verdict.sides[1:], verdict.comparisons, strict=True
    ):
        same = sum(row.answers[side.info.key].text == row.answers[adapter].text for row in found.rows)
        like, primary = found.alike.get(form.title), comparison.primary
        body.append(
            (
                form.title,
                f"{form.bytes / 1e6:,.0f} MB" if form.bytes else "",
                f"{same} of {count}",
                f"{100 * like.same / like.tokens:.1f} % of {like.tokens:,}" if like else "",
                f"{like.divergence:.5f}" if like else "",
                f"{primary.base:.3f} → {primary.tuned:.3f}",
                primary.judgement.outcome if primary.judgement else "",
            )
        )
    head = (
        "form",
        "size",
        "answers as the adapter’s",
        "next tokens",
        "KL",
        f"{verdict.metric}",
        "against the base",
    )
    return f"### {found.name}\n\n{results.table(head, body)}"


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="*", default=list(ADAPTERS), help="that ship, by name, or folders")
    parser.add_argument("--rows", type=int, default=100, help="test rows of each (default: 100)")
    parser.add_argument("--threads", type=int, default=2, help="of llama.cpp's servers (default: 2)")
    parser.add_argument("--into", type=Path, metavar="FILE", help="write it there as a section, such as RESULTS.md")
    options = parser.parse_args()
    disable_progress_bar()
    idle, parts = machine.idle(), [f"transformers computes in {best_precision()}, llama.cpp as it does by itself."]
    for name in options.adapters:
        folder = Path(name) if Path(name).is_dir() else bundled_folder() / name
        started = time.perf_counter()
        results.tell(f"{name}:")
        parts.append(markdown(measure(folder, rows=options.rows, threads=options.threads)))
        results.tell(f"  {time.perf_counter() - started:.0f} s")
    body = "\n\n".join(parts)
    print(body)
    if options.into:
        results.write_section("Exported", body, machine.describe(), idle=idle, file=options.into)


if __name__ == "__main__":
    main()
