"""Supervisors: start in order, decide after each exit, carry the plan out, stop in reverse."""
