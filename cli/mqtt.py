"""`./fogline mqtt`: the mesh on an MQTT broker."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import click

from cli import asking
from cli.options import from_settings
from cli.settings import MqttSettings
from mesh import logs
from mesh.errors import RegistryAway, SetupProblem


@click.command()
@from_settings(MqttSettings)
def mqtt(settings: MqttSettings) -> None:
    """Says on an MQTT broker who is in the mesh, what runs, and what is found; until Ctrl-C. It takes no orders."""
    # Only whom it concerns has what it needs installed.
    from cli.bridge.bridge import Bridge  # noqa: PLC0415
    from cli.bridge.broker import Address, Broker  # noqa: PLC0415
    from cli.bridge.topics import Topics, prefix_of  # noqa: PLC0415

    if not settings.broker:
        raise SetupProblem("give the broker's address with --broker (FOGLINE_BROKER): mqtt://HOST")
    address = Address.of(settings.broker, settings.mqtt_password)
    topics = Topics(prefix_of(settings.topic))
    authority = Path(settings.mqtt_ca) if settings.mqtt_ca else None
    broker = Broker(address, topics.bridge, topics.states, authority)
    client = asking.registry(settings)
    logs.configure(settings.log, service="mqtt", site=settings.site)
    with suppress(RegistryAway):  # it is waited for; one that refuses the key is not
        client.sessions()
    bridge = Bridge(client, broker, topics)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bridge.run()
    except KeyboardInterrupt:
        pass  # that is how it is ended
    finally:
        bridge.stop()
