"""Toy tasks of unlike methods: the engine runs them without a line of its own for any of them."""
