"""The registry: who is there, what they can do, and which node serves which session. Its state lives in Redis."""
