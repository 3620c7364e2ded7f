"""Elixir's Registry for users: keys and values that are cleaned up by `Down`."""
