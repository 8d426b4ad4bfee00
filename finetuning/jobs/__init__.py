"""What takes a worker for a while and trains nothing: a file a kind, which says what is asked and how it is done.

evaluation.py   a tuned model and its base on a test set
verdict.py      any models on the same rows
export.py       what was tuned, as one file to take elsewhere

Their folders, and their place in the queue of runs, are `finetuning.runs.jobs`'.
"""
