"""This machine's own addresses; what else may be contacted is tried in tests/attacks/test_addresses.py."""

from __future__ import annotations

import ipaddress

import pytest

from mesh.networks import PRIVATE, Networks, Outside, own_addresses


def test_this_machine_is_dialled_whatever_network_it_is_in() -> None:
    """A node beside the registry counts though its address is no private one; its neighbours' do not, and neither
    loopback nor a link-local address comes in this way."""
    own = [ipaddress.ip_address(text) for text in own_addresses()]
    assert not any(address.is_loopback for address in own)
    networks = Networks((*PRIVATE, "198.51.100.7", *own_addresses()))
    networks.check("198.51.100.7", 8000)
    for address in own:
        if not address.is_link_local:
            networks.check(str(address), 8000)
    for other in ("198.51.100.8", "169.254.169.254", "127.0.0.1"):
        with pytest.raises(Outside):
            networks.check(other, 8000)
