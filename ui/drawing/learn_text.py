"""What the Learn tab says. Whatever is measured or counted is put in where it is drawn, see `learn`."""

from __future__ import annotations

INTRO = (
    "What fine-tuning is: five steps, three ways, three options. Every number here was counted or measured by this "
    "program, and every button opens what is behind it. docs/lesson.md makes a lesson of an hour of it."
)
OPENING = "Opening …"
COUNTING = "counting …"

STEPS_TITLE = "The five steps"
STEPS: dict[str, tuple[str, str]] = {
    "task": (
        "Choose the task",
        "Say what goes in, what should come out, and which number would convince you. Then look how well the base "
        "model does without any training: where that is good enough, there is nothing to tune.",
    ),
    "data": (
        "Prepare the data",
        "Rows of an input and its answer, in three parts that share no row: one to learn from, one to watch while "
        "the model learns, one to judge by, once, at the end. Repeated rows, contradictions, and rows that stand "
        "in two parts make every later number worthless, so look for them first.",
    ),
    "base": (
        "Choose the base model",
        "The smallest that may do it: it is tuned in minutes and answers fast. Ask what it has read, in which "
        "language, whether it was taught to follow instructions, and what its licence allows.",
    ),
    "tune": (
        "Fine-tune",
        "Show it a few rows; measure how improbable it found the right answers, which is the loss; move the "
        "weights a little so that they become more probable; repeat. The learning rate says how far, the epochs "
        "how often. Too much of either, and it forgets what it knew or learns the rows by heart: see the end of "
        "this page.",
    ),
    "evaluate": (
        "Evaluate",
        "Base and tuned answer the same rows, which neither has seen. One number, named beforehand, and a test "
        "that says whether chance would do as much. Then look at what became worse.",
    ),
}
"""By step: its title, and what it is."""

WAYS_TITLE = "The three ways to learn"
SELF_SUPERVISED = (
    "Self-supervised",
    "The text is its own answer: at every place the model has to expect the next token. Nobody writes labels, so "
    "any text will do, such as the letters of one author. It takes up a manner, a language or a field. It does "
    "not learn to answer.",
)
SUPERVISED = (
    "Supervised",
    "Somebody wrote the right answer to each row, and that answer alone is learned: a label, a summary, a turn of "
    "a conversation. It is the shortest way to a task, and the model becomes as good as the answers are.",
)
REINFORCEMENT = (
    "Reinforcement",
    "Nobody writes the answer; something says how good one is. InstructGPT took three steps: a supervised start; "
    "a reward model, which learns from pairs which answer people prefer; and policy optimisation, in which the "
    "model writes answers itself and learns from what they are worth, held near its start by a penalty (KL). DPO "
    "and KTO take a shorter path: no reward model, and no answers written on the way; they learn from the pairs, "
    "or from thumbs, directly.",
)
COMBINED = (
    "They combine. A language model is made by the first way, becomes an assistant by the second, and a better one "
    "by the third; each can start from an adapter of the one before."
)
PPO_TITLE = "Where is PPO?"
PPO = (
    "InstructGPT's policy optimisation was PPO, and TRL, the library that this program trains with (here: "
    "{version}), has it no longer. GRPO and RLOO stand for policy optimisation instead. The reason: PPO trains a "
    "second model beside the first, the critic, which guesses what an answer will be worth, so that only surprises "
    "are learned from. GRPO and RLOO write several answers to one prompt and compare each with the others, so the "
    "group is the guess. That saves the critic's memory and its settings, and where a whole answer gets one "
    "reward, papers report that nothing is lost. GRPO measures an answer by the group's mean and spread and limits "
    "each step as PPO does; RLOO measures it by the mean of the others. The rest is the same: own answers, a "
    "reward, and the KL that holds the model near its start."
)
SOURCES = (
    ("InstructGPT", "https://arxiv.org/abs/2203.02155"),
    ("PPO", "https://arxiv.org/abs/1707.06347"),
    ("GRPO", "https://arxiv.org/abs/2402.03300"),
    ("RLOO", "https://arxiv.org/abs/2402.14740"),
    ("DPO", "https://arxiv.org/abs/2305.18290"),
    ("KTO", "https://arxiv.org/abs/2402.01306"),
)
AT_A_SHELL = "At a shell: "

OPTIONS_TITLE = "The three options for parameters"
OPTIONS: dict[str, tuple[str, str]] = {
    "full": (
        "All of them",
        "Every weight learns. It can change the most, takes the most memory (each weight has a gradient and two "
        "moments beside it), forgets the most, and what it gives is a whole model.",
    ),
    "last": (
        "The last layers only: transfer learning",
        "The first layers stay as they are and are only read; a classifier's head, or the last blocks and what "
        "follows, learn. Little to compute, and enough where the base sees the difference already.",
    ),
    "lora": (
        "LoRA and QLoRA",
        "All weights stay as they are; beside a matrix W a product of two thin ones learns, so that the layer "
        "computes with W + BA. Some megabytes to keep, and switched off it is the base again. QLoRA is the same "
        "over a base that is held in 4 bits.",
    ),
}
"""By strategy, as a recipe names it: its title, and what it is."""
COUNTS_CAPTION = "How many parameters learn, of how many, counted from the models' configurations just now"
TWICE = (
    "Beside an adapter a classifier's total has its head twice, the original and the copy that learns. In 4 bits "
    "two weights share a byte: as stored, they are one."
)

RANK_TITLE = "W + BA"
RANK = "Rank of the update"
RANK_SAID = (
    "In {layer}, W has {whole:,} weights and B and A {update:,} ({share:.1%}). In all {layers} layers of the "
    "recipe that is {trainable:,} of {total:,}. From rank {even:,} on, B and A of this layer would have as many as "
    "W itself."
)

LEVELS_TITLE = "Sixteen levels: 4-bit NormalFloat"
LEVELS = (
    "Weights are many small ones and few large ones, much like a normal distribution. NF4 puts its sixteen levels "
    "so that each stands for about as many of them: close together around 0, where most weights are. A block of "
    "{block} weights shares a scale, its largest weight, and the scales are packed into 8 bits again."
)
OF_MODEL = "Of {base}, as it is on this machine ({origin})."
PACKED_BEFORE = (
    "Those of the package mirror were held in 4 bits of another kind before, so they are on few values already."
)
NOT_MEASURED = "The weights of {base} are not loaded yet. Measuring them takes some seconds and is done once."
MEASURE = "Compute"
MEASURING = "Measuring the weights"

WRONG_TITLE = "Two ways to go wrong"
NOT_RUN = (
    "This was not measured here yet. To do so takes some minutes: python -m benchmarks.learn_runs --only {name}. "
    "What came of it is then shown here."
)
MEASURED_ON = "Measured on {processor}, {cores} cores, {day}; the run took {minutes:.1f} min."
LOWEST = "lowest validation loss"
