"""What a person asked to be compared, and the way from there to a verdict, whichever door they came through.

request.py    as it was written; tasks.py: of which task; besides.py: what else
comparing.py  from that to a verdict

Prints nothing and asks nobody: who shows prompts and waits for a yes is given as callbacks.
"""
