"""What comes in: a client's send (``accept``) and a platform's webhook (``receive``)."""
