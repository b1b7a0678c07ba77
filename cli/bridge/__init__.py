"""The mesh on an MQTT broker: who is there, what runs, and what is found, for programs that speak MQTT."""
