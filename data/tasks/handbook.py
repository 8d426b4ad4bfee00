"""Questions about a boat that does not exist, asked without its handbook: has the model learned its facts?"""

from data.tasks.task import Task

TASK = Task(
    name="handbook",
    kind="generation",
    title="Handbook by heart",
    learns="Know the handbook of the Merle 4, an invented mail boat, and answer without looking it up.",
    instruction="Answer the question about the mail boat Merle 4 in a few words.",
    input_column="question",
    target_column="answer",
    input_names=("question", "prompt", "input"),
    target_names=("answer", "answers", "output"),
    noun=("question", "questions"),
    corpus="corpus:handbook",
    recipe="handbook-smollm2-lora",
    metric="token_f1",
    floors=("the input itself", "most frequent answer"),
    few_shot=4,
    answer_tokens=24,
    message_hint="Ask something about the mail boat Merle 4",
)
