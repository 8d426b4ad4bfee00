"""python -m benchmarks.recipes_table: the table of docs/recipes.md, from the newest finished run of each.

Prints Markdown; every number comes from the runs' own status and report.
"""

from __future__ import annotations

from eval.report.folder import load
from finetuning.recipe import load_recipe, recipe_names
from finetuning.runs.folder import Run, list_runs


def finished(name: str) -> Run | None:
    """The newest finished run of the recipe as it ships: its settings and data unchanged."""
    shipped = load_recipe(name)
    for run in list_runs():
        if run.status().state == "finished" and run.recipe() == shipped:
            return run
    return None


def row(name: str) -> str:
    recipe = load_recipe(name)
    run = finished(name)
    measured = "not run here | "
    if run:
        primary = load(run.evaluation)[0].primary
        status = run.status()
        minutes = ((status.ended or 0) - (status.started or 0)) / 60
        said = primary.metric.said
        measured = f"{minutes:.0f} min | {primary.metric.named} {said(primary.base)} → {said(primary.tuned)}"
    return f"| `{name}` | {recipe.title} | `{recipe.model.base.split('/')[-1]}` | {measured} |"


def main() -> None:
    """Print the table."""
    print("| recipe | what it trains | base model | time, evaluation included | base → tuned |")
    print("|---|---|---|---|---|")
    for name in reversed(recipe_names()):
        print(row(name))


if __name__ == "__main__":
    main()
