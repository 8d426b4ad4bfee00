"""Taking what was tuned elsewhere, with its card.

forms.py       what there is: adapter, merged, gguf, ollama, hub; one entry a form, for every door
work.py        how far it is, whether to stop, and that nothing partial is left
tuned.py       what is exported: an adapter or a whole model, of a run or from a folder
adapter.py     an adapter as a zip
weights.py     a model's weights, a tensor at a time; merging.py: an adapter's merged into its base's
merged.py      a whole model as a folder of safetensors
usage.py       the program in a card, and the card; base_card.py: what it says of the base
language.py    what was tuned as one language model, for the next two
gguf/          a whole model, or a LoRA, as a GGUF file
ollama.py      a Modelfile that asks as training did; go_template.py: its TEMPLATE
checking.py    the adapter and the exported thing, asked the same rows
hub.py         a push to the Hub, in one commit
made.py        what was made of a run, where it stays; `finetuning.jobs.export` makes it
folder.py model_card.py    a copy of what a run has tuned, and its card
"""
