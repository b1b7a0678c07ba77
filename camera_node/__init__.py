"""The camera node: one source in, its newest JPEG out to any number of clients."""
