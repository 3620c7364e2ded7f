"""Events for people and machines: logs, metrics and a drawing of the tree."""
