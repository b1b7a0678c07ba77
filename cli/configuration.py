"""The page of every setting, made from the settings: `python -m cli.configuration > docs/configuration.md`."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from typing import Any

from cli.settings import (
    AskSettings,
    BackupSettings,
    DiscoverSettings,
    DoctorSettings,
    MqttSettings,
    SimulateSettings,
    StatusSettings,
    TokenSettings,
    UpSettings,
    UserSettings,
)
from mesh.settings import DATA, fields_of, kind_of, option_of, variable_of

INTRODUCTION = """# Configuration

Every setting is an option of its command and a variable of the same name; the option wins. Values are checked at the
start, and a wrong one is named with its option and its variable. A setting that may be given several times takes a
list separated by commas in its variable.

*This page is made from the code: `python -m cli.configuration > docs/configuration.md`.*
"""
ROLES = (
    ("registry", "registry.settings", "RegistrySettings"),
    ("ui", "ui.settings", "UiSettings"),
    ("camera", "camera_node.settings", "CameraSettings"),
    ("compute", "compute_node.settings", "ComputeSettings"),
)


def markdown() -> str:
    """The whole page."""
    classes: list[tuple[str, type[Any]]] = [("up", UpSettings)]
    classes += [(role, getattr(importlib.import_module(module), name)) for role, module, name in ROLES]
    classes += [
        ("status", StatusSettings),
        ("doctor", DoctorSettings),
        ("discover", DiscoverSettings),
        ("token", TokenSettings),
        ("user", UserSettings),
        ("key, node, signing-key, audit", AskSettings),
        ("backup, restore", BackupSettings),
        ("mqtt", MqttSettings),
        ("simulate", SimulateSettings),
    ]
    return INTRODUCTION + "".join(f"\n## `{name}`\n{_table(cls)}" for name, cls in classes)


def _table(cls: type[Any]) -> str:
    rows = ["| option | variable | default | meaning |", "|---|---|---|---|"]
    for field in fields_of(cls):
        _, many = kind_of(cls, field)
        meaning = field.metadata["help"].replace("|", "\\|") + (" (may repeat)" if many else "")
        rows.append(f"| `{option_of(field)}` | `{variable_of(field)}` | {_default(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value == DATA:
        return "`data` in the checkout"
    if isinstance(value, tuple):
        value = ", ".join(value)
    return f"`{value}`" if value not in ("", None) else "–"


if __name__ == "__main__":
    sys.stdout.write(markdown())
