"""The engine: trains any task, names none."""
