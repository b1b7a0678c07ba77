"""Where a dashboard is, as it tells the registry, so that who collects figures finds it, too."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mesh.manifest import Identifier, Name, Port

SAY_SECONDS: Final = 60.0  # between two words of one service
KEPT_SECONDS: Final = 200.0  # for which the registry keeps one: two may be lost


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """port: on the address from which this comes. secure: it speaks https. name: the host's, for people. site: what its
    --site says, empty for none."""

    node_id: Identifier
    port: Port
    name: Name
    secure: bool = False
    site: Annotated[str, msgspec.Meta(max_length=100)] = ""
