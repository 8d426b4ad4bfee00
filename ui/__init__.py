"""The page. Reads forms, calls a room, draws the result.

Knows nothing that is worth testing without a browser: whatever computes belongs to a room further left. Nothing
here imports torch, transformers or datasets before somebody asks for an answer, so the page opens at once.

    page.py      the tabs, the top line, what leads from one tab to another
    serving.py   the command line, and the page on the network
    api/         what programs ask by name, as the page's handlers do
    tabs/        one module a tab, and the forms and views that tabs share
    drawing/     how things are drawn: knows values, and no component's handler
    server/      who may ask what, and what all visitors share
"""
