"""What the tests share: cases, builders, servers."""
