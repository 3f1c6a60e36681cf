"""The configuration file: read, checked, explained, and turned into what the store keeps."""
