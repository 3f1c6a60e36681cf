"""What WhatsApp and Messenger share: the Graph API's errors, signatures and the setting up of an app."""
