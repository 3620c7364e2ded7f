"""Pure values and decisions: exit reasons, child specs, strategies, restart windows, events."""
