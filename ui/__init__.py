"""The page: one module a tab. Reads forms, calls a room, draws the result.

Knows nothing that is worth testing without a browser: whatever computes belongs to a room further left. Nothing
here imports torch, transformers or datasets before somebody asks for an answer, so the page opens at once.

    page.py            the tabs, the top line, what leads from one tab to another
    compare.py         two answers side by side           answers.py   how they are drawn
    answering.py       asks the models for them           top_line.py   which model is open
    train.py           the five steps                     train_form.py, fields.py   a form → a recipe
    evaluate.py        any adapter on any test set        data_form.py   which examples, what is wrong with them
    runs.py            the list of runs                   run_view.py, loss.py   how a run is drawn
    report_view.py     a report, in every tab             reports.py, flips.py   how its parts are drawn
    choices.py         which tuned models there are       models_in_use.py   which of them are open in memory
    libraries.py       heavy imports, one thread at a time
    visitors.py        who asks, and what they may see   door.py          every request, before Gradio
    calls.py           what a call has to look like       health.py       /health
    serving.py         the command line, the network      listening.py    a port, and whether it is free
    scratch.py         folders that last a day
    markup.py          HTML that escapes by construction  charts.py, theme.py, text.py
"""
