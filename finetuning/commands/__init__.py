"""The commands of `python -m finetuning`: one file each.

options.py    what several of them take
following.py  what several of them show: a run until its end, and how it ended

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""
