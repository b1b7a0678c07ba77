"""The contract that every Fogline service shares.

Nothing here imports a service, Flask or OpenCV: a camera, a registry and a dashboard need the same words and
the same frames, and nothing else of each other.
"""
