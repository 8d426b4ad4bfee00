"""Conversations with the assistant of a public library, several turns each."""

from data.tasks.task import Task

TASK = Task(
    name="chats",
    kind="chat",
    title="Library chats",
    learns="Answer as the assistant of Harbour Street Library does: briefly, kindly, with the next step.",
    instruction="You are the assistant of Harbour Street Library. Answer in one or two short sentences.",
    input_column="messages",
    target_column="answer",
    input_names=("messages", "conversations", "chat"),
    noun=("chat", "chats"),
    corpus="corpus:chats",
    recipe="chats-smollm2-lora",
    metric="rougeL",
    floors=("the input itself", "most frequent answer"),
    few_shot=0,
    message_hint="Ask the library something, and go on",
)
