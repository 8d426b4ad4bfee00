"""Messages to a shop's help desk, and which of eight teams has to take each."""

from data.tasks.task import Task

TASK = Task(
    name="requests",
    kind="classification",
    title="Which team",
    learns="Read a customer's message and say which of eight teams has to take it.",
    instruction=(
        "Which team has to take this message: delivery, return, payment, damage, account, product question, change "
        "order or complaint? Answer with the team alone."
    ),
    input_column="text",
    target_column="label",
    labels=(
        "delivery", "return", "payment", "damage", "account", "product question", "change order", "complaint",
    ),
    input_names=("text", "message", "body", "content", "request", "ticket"),
    target_names=("label", "team", "category", "class", "intent", "queue"),
    noun=("message", "messages"),
    corpus="corpus:requests",
    recipe="requests-smollm2-lora",
    metric="accuracy",
    floors=("majority class", "TF-IDF + logistic regression"),
    few_shot=8,
    message_hint="Write to a shop's help desk, or pick one below",
)  # fmt: skip
