"""What every room uses and no domain: errors, doors, files, what may be shown and how as HTML, the network."""
