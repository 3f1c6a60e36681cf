"""Connecting accounts to their platforms: setting webhooks, looking what is wrong, reading quotas and templates."""
