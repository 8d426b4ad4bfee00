"""Where examples come from: bundled corpora, files and the Hub; columns, validation, splits, hygiene.

Knows nothing about models or prompts, and imports no other room.
"""
