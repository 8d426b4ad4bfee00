"""Runs that go wrong on purpose, to be looked at: how a model forgets, and how it learns by heart.

NAME.yaml            a recipe that ships, the settings that make it go wrong, and what is to be seen
results.json         what came of them where they were measured: `python -m benchmarks.learn_runs` writes it
demonstration.py     both, read
"""
