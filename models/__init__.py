"""Base models and adapters: getting them, loading them, prompting, generating and scoring.

Knows nothing about training or the page. Imports `data` only.
"""
