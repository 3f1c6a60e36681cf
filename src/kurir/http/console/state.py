"""What the console's routes need of the process, in one value."""

from dataclasses import dataclass, field
from typing import Final

from kurir.clock import Clock
from kurir.console.access import Access
from kurir.console.accounts import Reports
from kurir.console.auditing import Audit
from kurir.console.live import Pulse
from kurir.console.references import References
from kurir.console.requests import RequestLog
from kurir.sandbox.state import Sandbox
from kurir.settings import Settings

#: The cookie's name; with the prefix a browser takes it only over TLS, for this very host (RFC 6265bis, 4.1.3).
COOKIE: Final = "kurir_session"
SECURE_COOKIE: Final = "__Host-kurir_session"


@dataclass(frozen=True, slots=True)
class Console:
    """The console. ``masked``: phones and texts are hidden until revealed. ``label`` names the installation in the header.

    ``sandbox`` is the sandbox of the same process, None in production. ``public_url`` is "" where nobody knows it.
    """

    access: Access
    audit: Audit
    pulse: Pulse
    requests: RequestLog
    clock: Clock
    public_url: str
    masked: bool
    label: str
    references: References
    sandbox: Sandbox | None = None
    settings: Settings | None = None
    reports: Reports = field(default_factory=Reports)

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return SECURE_COOKIE if self.secure else COOKIE
