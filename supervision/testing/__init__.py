"""The public test kit: a seeded simulation, a manual clock, probes, faults, checkable laws."""
