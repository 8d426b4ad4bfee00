"""Letters of one invented author, with a style that is easily told from others': what comes next in them?"""

from data.tasks.task import Task

TASK = Task(
    name="letters",
    kind="text",
    title="A letter writer's style",
    learns="Read the letters of one invented author, and go on with a letter as its author would.",
    input_column="text",
    target_column="",
    input_names=("text", "letter", "content", "body", "document"),
    noun=("letter", "letters"),
    corpus="corpus:letters",
    recipe="style-smollm2-lora",
    metric="perplexity",
    floors=("LZMA",),
    few_shot=3,
    answer_tokens=100,
    message_hint="Write how a letter begins, and both sides go on with it; or pick an opening below",
)
