"""The command line: the only thing above the services. It starts them, and asks the registry about them."""
