"""What a run will take, before it starts: parameters, memory and time."""
