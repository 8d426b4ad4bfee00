"""python -m benchmarks: every comparison in turn."""

from benchmarks import agree_with_lm_eval, chat, training

chat.main()
training.main()
agree_with_lm_eval.main()  # last: it exits with 1 where the two do not agree
