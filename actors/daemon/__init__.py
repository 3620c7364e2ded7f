"""A service around a SessionSystem: its HTTP door and its command line."""
