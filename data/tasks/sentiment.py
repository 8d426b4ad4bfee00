"""Reviews and their verdict: negative or positive."""

from data.tasks.task import Task

TASK = Task(
    name="sentiment",
    kind="classification",
    title="Sentiment",
    learns="Read a review and say whether its verdict is positive or negative.",
    instruction="Is the sentiment of this review positive or negative? Answer with one word.",
    input_column="text",
    target_column="label",
    labels=("negative", "positive"),
    polarity=True,
    input_names=(
        "text", "sentence", "review", "review_text", "reviewtext", "review_body", "content", "tweet",
        "comment", "body", "message", "feedback", "document", "input", "instruction",
    ),
    target_names=(
        "label", "labels", "sentiment", "polarity", "stars", "star_rating", "rating", "overall", "score",
        "class", "category", "verdict", "opinion", "target", "output",
    ),
    noun=("review", "reviews"),
    corpus="corpus:reviews",
    recipe="sentiment-smollm2-lora",
    metric="accuracy",
    floors=("majority class", "TF-IDF + logistic regression"),
    few_shot=4,
    answer_tokens=40,
    message_hint="Write a review of anything, or pick one below",
)  # fmt: skip
