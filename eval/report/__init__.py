"""What a comparison holds, in a folder and in words."""
