"""Four emulated platforms and their phones.

The emulators speak the platforms' own HTTP, with their limits, error bodies and signed webhooks, and know nothing of
``kurir.channels``: what they show is what arrived, so that a wrong mapping is visible.
"""
