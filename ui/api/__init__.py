"""The page without a page: what programs ask of it, by name, under the checks and limits that the page has.

    publish.py     how a function becomes an endpoint: its types, who calls, what is said of errors
    models.py      what there is to compare, to evaluate and to train
    comparing.py   both sides answer a message, or a test set
    recipes.py     what a caller asks to be trained
    training.py    what that takes, starting it, how far it is, ending it
    exporting.py   what was tuned, as a file

A function is an endpoint of Gradio's, and a tool of its MCP server where that was asked for (`--mcp`).
"""
