"""What changed between before and after: metrics, comparing base with tuned, reports, the regression gate.

Knows nothing about how an adapter was trained, nor about the page. Imports `data` and `models` only.
Never `import eval`, which hides the builtin: write `from eval.report.schema import …`.
"""
