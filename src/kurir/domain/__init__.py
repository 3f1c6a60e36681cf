"""Frozen values and pure rules of the gateway. Imports nothing else of kurir."""
