"""python -m benchmarks: every comparison in turn."""

from benchmarks import chat

chat.main()
