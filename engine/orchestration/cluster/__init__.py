"""Ray's room: the connection, the broker, stage workers and light trials."""
