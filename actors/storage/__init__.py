"""Where snapshots are kept: the journal, and the stores below it."""
