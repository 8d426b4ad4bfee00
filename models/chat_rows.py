"""Chats as tokens: which of them the assistant has said, and which of those are learned.

A chat is one row: the prompt of its last answer, with all turns before it, and that answer. The prompt's tokens are
what a model is given in evaluation and chat. An earlier turn of the assistant is learned where it stands in that
prompt. Where the template writes past answers as they were generated (`ChatTemplate.keeps_answers`), what stands
before one is just what it was an answer to. Where it does not, as Qwen3's, whose prompts end with an empty block of
thoughts that past answers lack, earlier turns are learned without that block, and only the last one behind it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from models.chat_template import Message
from models.encoded import EncodedExample, Span
from plumbing.errors import ModelError

if TYPE_CHECKING:
    from models.prompting import Prompter


def learned_turns(given: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each of the assistant's turns in `given` is learned: one of weight 0 is only read."""
    return [message.get("weight", 1) != 0 for message in given if message["role"] == "assistant"]


def encode_chats(
    prompter: Prompter,
    chats: Sequence[list[Message]],
    learned: Sequence[list[bool]],
    completions: Sequence[str],
) -> list[EncodedExample]:
    """A row for each chat.

    Args:
        prompter: whose tokenizer and template.
        chats: the messages before each last answer, as `Prompter.messages` gives them.
        learned: of the assistant's turns among them, which ones are.
        completions: the last answers, as `Prompter.completion` gives them.
    """
    laid = [_lay_out(prompter, chat) for chat in chats]
    if not laid:
        return []
    if not prompter.tokenizer.is_fast:
        raise ModelError(
            "The base model's tokenizer cannot say where its tokens stand in a text", fix="Choose another."
        )
    prompts = prompter.tokenizer(
        [text for text, _ in laid],
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
    )
    answers = prompter.encode_texts(completions)
    rows = []
    for number, ((_, turns), which) in enumerate(zip(laid, learned, strict=True)):
        ids, places = prompts["input_ids"][number], prompts["offset_mapping"][number]
        spans = _tokens_of([turn for turn, is_learned in zip(turns, which, strict=True) if is_learned], places)
        last = EncodedExample.of(ids, answers[number])
        rows.append(EncodedExample(last.input_ids, (*spans, *last.spans)))
    return rows


def _lay_out(prompter: Prompter, chat: list[Message]) -> tuple[str, list[Span]]:
    """The prompt as text, and where each of the assistant's turns stands in it with the token that ends it."""
    template, start = prompter.template, prompter.answer_start
    pieces = template.around_answers(chat)
    said = [message["content"] for message in chat if message["role"] == "assistant"]
    spans, at = list[Span](), 0
    for before, content, after in zip(pieces, said, pieces[1:], strict=False):
        begin = at + len(before)
        at = begin + len(content)
        lead = len(start) if before.endswith(start) else 0
        spans.append((begin - lead, at + (len(template.end) if after.startswith(template.end) else 0)))
    return "".join(chain(*zip(pieces, [*said, ""], strict=True))) + prompter.prompt_end, spans


def _tokens_of(spans: Sequence[Span], places: Sequence[Span]) -> list[Span]:
    """The tokens that stand, if only in part, in each range of characters; `places` are the tokens' characters."""
    starts, ends = [start for start, _ in places], [end for _, end in places]
    found = [(bisect_right(ends, start), bisect_left(starts, end)) for start, end in spans]
    return [(start, end) for start, end in found if start < end]
