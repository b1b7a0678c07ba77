"""What runs in a process of its own, so that its CPU can be told from the rest."""
