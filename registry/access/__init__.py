"""Who may get in: people, API keys, nodes' keys, and what is written down about them."""
