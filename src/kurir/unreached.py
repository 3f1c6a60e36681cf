"""Why a request got no answer, in plain words. aiohttp's own words name its classes and the keys of its connections."""

from typing import Final

import aiohttp

#: The narrower kinds of error before the wider ones that they are of.
_WORDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (aiohttp.InvalidURL, "that is no http or https URL"),
    (aiohttp.NonHttpUrlClientError, "that is no http or https URL"),
    (aiohttp.ClientConnectorDNSError, "no address is known for that name"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientConnectorSSLError, "what listens there speaks no TLS"),
    (TimeoutError, "no answer came in time"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
    (aiohttp.ClientResponseError, "what answers there does not speak HTTP as a server should"),
    (aiohttp.ClientPayloadError, "its answer broke off"),
)
_CONNECTING: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ConnectionRefusedError, "nothing listens there"),
    (ConnectionResetError, "it closed the connection while it was made"),
)


def why(error: BaseException) -> str:
    """Return in plain words, without a full stop, why a request of aiohttp's that raised *error* got no answer."""
    found = next((words for kind, words in _WORDS if isinstance(error, kind)), None)
    if found is not None:
        return found
    if isinstance(error, aiohttp.ClientConnectorError):
        below = error.os_error
        words = next((words for kind, words in _CONNECTING if isinstance(below, kind)), None)
        return words or f"no connection could be made: {below.strerror or 'the system does not say why'}"
    return "the connection broke"
