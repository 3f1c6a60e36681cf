"""What the store does, written once for both databases, a module a subject: functions that run inside a transaction."""
