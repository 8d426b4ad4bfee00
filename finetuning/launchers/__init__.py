"""Where a run runs: one file a kind of place. They know a run's folder and its job, and no queue.

launcher.py   what a launcher is, and the one that `where` names
here.py       this machine: one process, or several that torchrun keeps together
"""
