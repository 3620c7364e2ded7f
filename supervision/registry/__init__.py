"""Elixir's Registry: who is known under which key, read without a message or a lock."""
