"""Events on their way to the client's system: the dialects, the signatures, the ladder, the deliverer, the feed."""
