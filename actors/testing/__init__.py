"""The public test kit for sessions: fakes of the ports, session laws, a pytest plugin."""
