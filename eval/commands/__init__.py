"""The commands of `python -m eval`: one file each.

options.py    what several of them take
request.py    what a person asked to be compared; tasks.py: of which task; besides.py: what else
comparing.py  from that to a verdict, which `pytest eval/` takes as well
printing.py   a verdict in the terminal
output.py     where else a verdict is written, and what it comes to for a gate

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""
