"""``kurir bench``: load, kills and platform faults against a real gateway, and the checker that reads the ledgers after."""
