"""The mock_driver: a driver that does what a script says and runs nothing. See `driver`."""
