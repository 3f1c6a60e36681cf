"""WhatsApp, Business Cloud API: ``channel`` is the :class:`kurir.channels.base.Channel`; the rest are its parts."""
