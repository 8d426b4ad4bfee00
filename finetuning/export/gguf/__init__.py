"""A language model, or a LoRA on one, as a GGUF file, which llama.cpp and what is built on it read.

architectures.py  which models, and what of them a file says
vocabulary.py     the tokenizer; sentencepiece.py: that of Llama 2, Mistral and Gemma
writing.py        the file of a whole model
lora.py           that of an adapter by itself
"""
