"""The mesh in containers, on a real engine."""
