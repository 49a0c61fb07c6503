"""The service: how rproxy lives. Start, listen, dial, drain, stop, signals, systemd."""
