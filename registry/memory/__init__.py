"""The store in this process's memory: a mesh that needs no Redis and forgets when its registry ends."""
