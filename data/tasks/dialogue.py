"""Conversations and what somebody who missed them needs to know."""

from data.tasks.task import Task

TASK = Task(
    name="dialogue",
    kind="generation",
    title="Dialogue summary",
    learns="Read a conversation and say in a sentence or two who wants what, and how it ends.",
    instruction="Summarize the conversation in one or two short sentences.",
    input_column="dialogue",
    target_column="summary",
    input_names=(
        "dialogue", "dialog", "conversation", "transcript", "chat", "messages", "article", "document", "text",
        "source", "content", "input", "instruction",
    ),
    target_names=(
        "summary", "summaries", "highlights", "abstract", "tldr", "tl_dr", "reference", "references",
        "target", "output",
    ),
    noun=("dialogue", "dialogues"),
    corpus="corpus:dialogues",
    recipe="dialogue-smollm2-qlora",
    metric="rougeL",
    floors=("first two turns", "longest turn"),
    few_shot=2,
    answer_tokens=80,
    message_hint="Paste a conversation, one “Name: what was said” a line, or pick one below",
)  # fmt: skip
