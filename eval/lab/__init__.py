"""What a lab found: several ways to one end, trained on the same rows and judged on the same test rows.

schema.py    the values, as JSON
judging.py   an interval for each option, and all pairs of them judged at once
words.py     the same in sentences and in Markdown
plots.py     two plots, and the curve by training rows, as SVG
document.py  all of it as one HTML file that needs nothing else (one_file.py: what any such file has)

Knows values only. How a lab is carried out is in `finetuning/lab/`.
"""
