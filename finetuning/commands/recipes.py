"""python -m finetuning recipes"""

from __future__ import annotations

from rich.table import Column, Table

from finetuning.commands.following import console


def recipes() -> None:
    """List the recipes and the chains that ship."""
    from finetuning.chains import chain_names, load_chain
    from finetuning.recipe import load_recipe, recipe_names

    table = Table(Column("recipe", no_wrap=True), "what it trains", Column("base model", overflow="fold"))
    for name in recipe_names():
        recipe = load_recipe(name)
        table.add_row(name, recipe.title, recipe.model.base)
    for name in chain_names():
        chain = load_chain(name).chain
        table.add_row(name, f"{chain.title}: {', '.join(step.title for step in chain.steps)}", "a chain of runs")
    console.print(table)
