"""Measurements of the registry: lists, placements, deaths, a crash of its Redis."""
