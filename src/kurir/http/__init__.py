"""The routes: decode, call one function, encode. Nothing is decided here."""
