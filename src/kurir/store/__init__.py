"""The only SQL. ``base`` is the protocol, ``sqlite`` the store for one machine; ``migrations`` holds the schema."""
