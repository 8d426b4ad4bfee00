"""A lab: one task, one split, one budget through several options, as ordinary runs, judged once on the test rows.

lab.py       its settings, and those that ship in `finetuning/labs/`
searches.py  settings that are searched: a grid, or drawn within ranges
plan.py      from the settings to cells: an option with a number of rows, and the recipes of its runs
fitting.py   whether the runs fit together, by their settings, and can be made here
rows.py      the rows that they read, and whether all are judged on the same
untrained/   options that are no run: the base, with examples or a text in its prompt; floors
folder.py    a lab's folder: its status, which runs belong to it, what was measured
measured.py  what a run, or an untrained option, came to with one seed
runner.py    carries it out, and goes on where it ended
results.py   from what was measured to `eval.lab`
launch.py    starting, cancelling, going on;  worker.py the process that does it;  strangers.py on a public page
dry_run.py   its runs and what they take, before they start
"""
