"""Durations and moments that a verb is given, as the configuration file writes them: ``24h``, ``10m``."""

from datetime import UTC, datetime, timedelta

import typer


def read(text: str, option: str) -> timedelta:
    """Return the duration that *text* names. Raises typer.BadParameter, naming *option*."""
    # What reads the configuration takes long to load, and few verbs are given a duration.
    from kurir.configuration.problems import WrongValueError  # noqa: PLC0415 - only a verb with a time pays for it
    from kurir.configuration.values import duration  # noqa: PLC0415 - only a verb with a time pays for it

    try:
        return duration(timedelta(0))(text)
    except WrongValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def moment(text: str, option: str) -> str:
    """Return the RFC 3339 time that *text* names, or says how long ago it was. Raises typer.BadParameter."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return (datetime.now(UTC) - read(text, option)).isoformat()
    if found.tzinfo is None:
        raise typer.BadParameter("the time needs its offset, such as a Z at the end", param_hint=option)
    return found.isoformat()
