"""The commands of `python -m eval`: one file each.

options.py    what several of them take
printing.py   a verdict in the terminal
output.py     where else a verdict is written, and what it comes to for a gate

What is asked for, and the way to a verdict, is `eval.asked`'s. Nothing heavy is imported before a command needs it,
so that `--help` answers at once.
"""
