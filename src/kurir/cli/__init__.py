"""The ``kurir`` command: one module a group of verbs."""
