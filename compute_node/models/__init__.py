"""Models: the catalogue, the way from a server to an installed ONNX file, and reading boxes out of outputs.

`README.md` beside this file says what lies where under the data folder.
"""

from __future__ import annotations

from compute_node.models.record import InstalledModel, Record
from compute_node.models.store import Listed, ModelStore

__all__ = ["InstalledModel", "Listed", "ModelStore", "Record"]
