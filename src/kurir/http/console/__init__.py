"""The console's routes under ``/console``: each decodes, asks a view for what is shown, and renders a template."""
