"""kurir: one REST API that sends chat messages over WhatsApp, Telegram, LINE and Facebook Messenger."""

__version__ = "0.1.0"
