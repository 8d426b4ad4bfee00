"""The sentences of the page that are not measured."""

from __future__ import annotations

from data.tasks.task import Kind

TITLE = "Before/After"
TAGLINE = "Fine-tune a language model, and see what changed."
SHARED_AS = (
    "Fine-tune a small language model on the machine you have, and see side by side what changed: the same test "
    "rows for both, a paired test, a verdict."
)
CARD_ALT = "Before/After: how many reviews the base and the tuned model have right"

LENT_GPU = (
    "Answers in Compare are computed on a GPU that this Space is lent for some seconds each. How long that is in a "
    "day is the visitor's quota: about 2 minutes without an account on the Hub, 5 with one, 40 with PRO. After "
    "that the Space's processor answers, which takes longer. It computes runs, evaluations and labs in any case."
)
NOT_LENT = "No GPU can be lent to you now, so this answer is computed on the processor, which takes longer."

TRY_IT = "Try to fool it, or train yours."
WAITING = "Pick an example, or write a message."
TO_ENGINE = "Putting the adapter on the engine …"
HERE_INSTEAD = "This machine answers, and not the engine."
QUEUED = "Waiting: one answer is written before yours."
QUEUED_BEHIND = "Waiting: {ahead} answers are written before yours."
IMPORTING = "Importing PyTorch and Transformers …"
QUEUE_FULL = "The queue is full: many visitors are waiting for an answer"
LABEL_SOURCE = "{percent:.0f} % likely: the likeliest label is the answer"
OWN_WORDS = "When it is let write on:"
OTHER_WORDS = "When it is let write on, its words say something else; the answer is the label above:"
NOTHING_SAID = "There is nothing to follow up yet"
REFUSED = "That does not work"
NOT_ANSWERED = "Something went wrong while this was answered."
STOPPING = "Stopping …"
STOPPED = "stopped"
ANSWERING = "Answering …"
BEING_ANSWERED = "Waiting for both answers."
BOTH_THERE = "Both answers are there."
RECORDED = "As recorded on {day}, when this model was evaluated:"
RECORDED_STATS = "recorded {day}"
OTHERS_FIRST = "Others are being answered now. Choose an example, or write something, to ask both sides live."
SHARED = "Of up to {most} words they share {common}."
UNDERLINED = "What only one of them says is underlined."
UNLIKE = "They differ too much to mark where."
SECOND_SIDE = "{percent:+.0f} % time for both sides"
NOT_RECORDED = "not recorded"
NO_SECOND_SIDE = "no more time for both sides"
NO_MODELS = "There is no tuned model of this task yet. Train one in the Train tab."
NO_OWN_MODELS = "There is no tuned model of your own yet. Train one in the Train tab, under Your own."
HOW_CHECKED = "how it was checked"
BADGE_WAITING = "What was tuned is checked before its first answer."

LAB_INTRO = (
    "A lab tries several ways to one end on the same rows and with the same budget: settings are chosen on "
    "validation rows, all is trained with several seeds, and all pairs are judged once on the same test rows."
)
LAB_STRANGER = "You see your own labs. Their runs wait in the queue like anybody's, one at a time."
LAB_NOT_MEASURED = "This lab was not measured yet. To measure it here: {command}"
LAB_MEASURED = "As measured on {processor}, {cores} cores, in {minutes:.0f} minutes. Nothing was run to show it."
NO_LABS = "There are no labs of yours yet."

BLIND = "Blind: vote first"
BOTH_WRITE = "Both are being written: {tokens} tokens"
WHICH = "Which answer is better?"
VOTES = {"left": "Left is better", "right": "Right is better", "tie": "Tie", "both bad": "Both bad"}
"""A vote → its button."""
VOTED = {"better": "your vote", "tie": "a tie, by your vote", "both bad": "both bad, by your vote"}
"""What stands beside the name of a side after a vote."""
VOTE_KEPT = (
    "A vote is kept on this page's server, with the message, both answers, the time and a name that stands for "
    "your browser or login. Whoever runs the page can read it. You can delete your votes below."
)
VOTE_COPIED = (
    "A copy goes to the dataset {dataset} on the Hub, whose earlier versions still hold what is deleted here."
)
NOTHING_HIDDEN = "There is nothing to vote on here"
LEARN_TITLE = "Your votes: learn from them, or delete them"
LEARN_FROM = {"pairs": "Learn from the pairs (DPO)", "thumbs": "Learn from the thumbs (KTO)"}
"""What votes are made into → the button that starts a run on it."""
LEARNS_ON = "A run that goes on with the adapter that was voted on:"
FORGET = "Delete all votes"
FORGET_ASKED = (
    "Really delete all your votes, on every model? What a run has learned from stays with it until it is deleted."
)
FORGOTTEN = "{count} deleted."
STARTED = "It is in the Runs tab: {run}."

STEPS = {
    1: "Task",
    2: "Data",
    3: "Base model",
    4: "Fine-tune",
    5: "Evaluate",
}
SOURCE = "Where the rows come from"
SOURCES = {
    "bundled": "Bundled",
    "file": "Upload a file",
    "hub": "Hub dataset",
}
OWN_ROWS = "Its own test rows"
DATA_FORMATS = "CSV, Excel, JSON, JSON Lines, Parquet, text, or a ZIP of texts"
ALSO = "Read before it as well"
OWN = "own"
"""What stands for a task that is not one of the two that the page begins with."""
OWN_TITLE = "Your own"
ASKED = "What do you want it to learn?"
OWN_LEARNS = "Whatever your examples show. Choose a file in step 2: what can be learned from it is then said here."
KINDS = {
    "classification": "To say which label a text has",
    "generation": "To write an answer to a text",
    "chat": "To answer in a conversation",
    "text": "To go on with texts like these",
}
AS_SHIPPED = "{title}, a task that ships"
WHAT_LABEL = "What it learns"
INSTRUCTION = "Instruction: stands before every text"
INSTRUCTION_HINTS = {
    "classification": "Left empty, it asks for one of the labels",
    "generation": "For example: Answer in one sentence. Left empty, the text stands alone",
    "chat": "For example: You are the help desk of a library. Left empty, the chat stands alone",
    "text": "",
}
TRY = "Try it with: {title}"
AS_SET = "As written below"
SIZE = "How much?"
TOKENS_CAPTION = "One row as the model sees it. It learns to write the marked tokens; the others are only read."
TOKENS_CAPTION_CLASSIFIER = "One row as the model sees it. A classifier reads the bare text and learns its label."
SAME_RUN = "This run is waiting or being worked on: it is shown below. Change a setting for another one."
RUN_GONE = "The run that was shown here is gone: it was deleted."
TOO_FEW = (
    "{rows} test row{s}: no verdict will be possible, whatever the answers: that takes {least} at least. Add a "
    "test file or more rows."
)
FEW = "{rows} test rows can show only a difference of {least:.2f} or more: add rows to see a smaller one."
ONE_LABEL = "Every test row is {label}: whoever always says so is right, so nothing about the others can be shown."
EVALUATE_WAITING = "When training ends, base and tuned answer the same test rows, and the difference is shown here."
PAIR, ANY_MODELS = "A tuned model and its base", "Any models"
STOPPED_HERE = "Nothing was measured."
READING_ROWS = "Reading the rows …"
JOB_GONE = "What was shown here is gone: it was deleted."
JUDGED_BEFORE = "Judged here before"
GOING = {
    "queued": "Waiting",
    "running": "Training",
    "evaluating": "Evaluating",
    "evaluation": "Evaluating",
    "verdict": "Comparing",
    "export": "Writing a file",
}
"""A run's state, or a kind of job → what the top line says of it."""
COPY_LINK = "Copy link"
LINK_COPIED = "The link is copied."
WRONG_ADDRESS = "Something in the address of this page is wrong."
NOT_YOURS = (
    "What this address names is not yours, or is gone: on this page everybody sees their own runs and reports "
    "only. What ships with the page is there for all."
)
NOT_THERE = "What this address names is not here: it was deleted, or it is on another machine."
REPORT_ON = "What came of {what}"
DELETED = "{what} is in the trash, for a week."
ANY_INTRO = (
    "Any models on the same rows, whoever tuned them and wherever they run: is one better than the base, and what "
    "did it break?"
)
ANY_NAMES = (
    "Choose from the list, or write a name on the Hub, a folder, a .gguf file, or the address of a server: "
    "http://HOST/v1#MODEL."
)
ANY_NAMES_PUBLIC = "What was tuned on this page, what that stands on, and what its operator has added."
ANY_OWN_ROWS = "The test rows of one of them"
ANY_TASK = "What is asked"
ANY_TASK_TOLD = "What the rows say"
ANY_METRIC_OWN = "The usual one"
ANY_METRIC_OF: dict[Kind, str] = {
    "classification": "labels",
    "generation": "answers",
    "chat": "answers",
    "text": "texts",
}
ANY_MARGIN = "No worse by more than"
ANY_MARGIN_INFO = "In the metric's units: 0.02. Then it is also said whether a loss that large is ruled out."
ANY_INSTRUCTION_INFO = "In place of ours. An adapter of ours keeps the one that it was tuned with."
ANY_OPTIONS = "How models are opened, one option a line"
ANY_OPTIONS_INFO = "tuned.base=FOLDER, base.precision=float32, tuned-2.labels=negative,positive"
ANY_TASK_FIRST = "Columns and labels have other names for another kind of task, so say first what is asked"
CHANGED_BY = "What became of each row, from the base to"
HOW_ASKED = "How the first row is asked"
OTHER_MODELS = "Other models …"
OTHER_USE = "Compare these two"
OTHER_SIDES = ("Left", "Right")
OTHER_NO_VOTES = "Votes are on what was tuned here against its base, so there are none on these two."
OTHER_UNLIKE = "These two cannot be asked the same: one only gives labels, the other only writes"

EVALUATE_INTRO = "Base and tuned answer the same test rows, so whatever differs is what tuning changed."
OWN_REPORT = "Measured on {rows:,} test rows when this model was tuned. Evaluate measures it here and now."
NO_OWN_REPORT = "Nothing has been measured with this model yet."
FEWER_ROWS = "Fewer are quicker, and show less."
FLIPS_TITLE = "What flipped"
FLIPS_HINT = "The largest changes first. A click on a row asks both models again, in Compare."
FILTER = "Filter by a word"
INTERVALS = (
    "Under each number: its 95 % interval. p: how often a difference at least this large would turn up if tuning "
    "changed nothing."
)
FEW_SHOT = "Also show the base examples in its prompt (few-shot)"
FORGETTING = "Also measure what it cost on general text"
LONGER = "Each takes longer. A classifier and a reward model write no text: for them, neither is measured."
ON_THE_LINE = (
    "On the dashed line, yes; below it, the model is too sure of itself. Across: confidence. Up: how many are "
    "right. The larger a dot, the more answers."
)
CALIBRATION = f"Of the answers given with 80 % confidence, are 80 % right? {ON_THE_LINE}"
TOO_FEW_CALIBRATED = "{rows} rows are too few to draw this: from {least} on it is drawn."
NEAR_TIES = "so close between two labels that a machine which rounds otherwise may answer otherwise."
WRITING = {
    "length_ratio": "length / reference",
    "novelty": "words not in what was asked",
    "repetition": "repeated runs of three words",
    "empty": "empty answers",
    "cut_off": "answers cut off",
}
CURVES = {
    "rewards/accuracies": "pairs whose better answer gained more than the worse",
    "rewards/margins": "by how much more, times beta",
    "rewards/chosen": "what good answers gained, times beta",
    "rewards/rejected": "what bad answers gained, times beta",
    "accuracy": "pairs whose better answer gets the higher reward",
    "margin": "by how much the better answer's reward is higher",
    "kl": "distance from the reference (KL, nats an answer)",
    "reward": "what answers are worth, all rewards with their weights",
    "reward_rouge": "of it, the words shared with the reference, before its weight",
    "reward_exact": "of it, the share of exact answers",
    "reward_length": "of it, what keeps to the length",
    "reward_format": "of it, what keeps to the form",
    "reward_run": "of it, what the reward model says",
    "metric": "the task's metric, of greedy answers to validation rows",
    "kl_a_token": "distance from the reference (KL, nats a token)",
    "answer_tokens": "tokens an answer",
    "flat_groups": "groups whose answers are all worth the same",
    "clip_ratio": "probabilities that have moved beyond epsilon",
    "cut_off": "answers that were cut off",
    "entropy": "how undecided the model is (entropy, nats a token)",
}
"""What is logged beside a loss → what its drawing is called."""
RUNS_INTRO = "Every run is a folder that holds everything about it. Click one to open it, tick two to compare them."
NO_RUNS = "No runs yet. Start one in the Train tab."
MOST_TICKED = "Up to {most} runs are compared at a time. Untick one first."
TICK_ONE_MORE = "Tick another run to compare the two."
VERDICTS_BESIDE = "Verdicts of the runs, each against its own base"
PAIRS_BESIDE = "The runs against each other, on the same test rows"
SETTINGS_BESIDE = "Settings that differ"
NO_SETTING_DIFFERS = "No setting differs."
NO_LOSSES = "None of these runs has trained a step yet."
RENAME = "Name, then Enter"
RUNS_STRANGER = (
    "Your runs, each a folder that holds everything about it. Nobody else sees them. Click one to open it, tick "
    "two to compare them. When the disk is full, the oldest are removed."
)
