"""python -m benchmarks: every comparison in turn."""

from benchmarks import agree_with_lm_eval, chat, kill_runs, training

chat.main()
training.main()
kill_runs.main()
agree_with_lm_eval.main()  # last: it exits with 1 where the two do not agree
