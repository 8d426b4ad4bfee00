"""What answers rows, whatever it is: one file a kind of side."""
