"""Algorithms: what finds something in a picture. `base` says what one is, `registry` finds and loads them."""

from __future__ import annotations

from compute_node.algorithms.registry import LoadContext, load, measure_fps, names

__all__ = ["LoadContext", "load", "measure_fps", "names"]
