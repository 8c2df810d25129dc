"""The fleet: the broker, the bus, messages from and to devices, and admission."""
