"""A run: its folder and states, the queue it waits in, the process that works on it, what it writes down."""
