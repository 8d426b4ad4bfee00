"""Recipes, strategies, trainers, estimates, runs: everything from a recipe to a finished run folder.

Imports data, models and eval; knows nothing about the page.
"""
