"""Questions that are answered from a passage, in a few words."""

from data.tasks.task import Task

TASK = Task(
    name="passages",
    kind="generation",
    title="Answers from a passage",
    learns="Read a passage and a question, and answer from it in a few words, or say that it is not stated.",
    instruction=(
        "Answer the question from the passage in a few words. If the passage does not say, answer: not stated"
    ),
    input_column="question and passage",
    target_column="answer",
    inputs=("passage", "question"),
    target_names=("answer", "answers", "output", "target"),
    noun=("question", "questions"),
    corpus="corpus:passages",
    recipe="passages-smollm2-lora",
    metric="token_f1",
    floors=("the input itself", "most frequent answer"),
    few_shot=2,
    answer_tokens=32,
    message_hint="Paste a passage, leave a line empty, and ask about it",
)
