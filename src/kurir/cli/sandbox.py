"""``kurir sandbox``: the four emulated platforms alone.

``fault`` lets something go wrong on one of them; ``export`` and ``replay`` keep what happened and play it again.
"""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import typer

from kurir import demo_facts, logs
from kurir.cli import options, running, serving
from kurir.sandbox import cases
from kurir.sandbox.config import CHANNELS, MAX_PEOPLE, demo_config
from kurir.sandbox.profiles import ProfileError, read_profile
from kurir.sandbox.replay import ReplayError
from kurir.sandbox.server import SandboxServer

app = typer.Typer(
    name="sandbox",
    help="Run the four emulated platforms and their phones alone, or break one that runs.",
    invoke_without_command=True,
)

#: The name that stands for every channel.
ALL: Final = "all"
#: Seconds for a request to the sandbox, which answers at once.
ANSWER_SECONDS: Final = 10.0


@app.callback()
def sandbox(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8081,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    gateway: Annotated[
        str, typer.Option(help="The gateway's URL, to which receipts are posted; none without it.")
    ] = "",
    people: Annotated[
        int, typer.Option(min=2, max=MAX_PEOPLE, help="How many people have phones; the first two are always the same.")
    ] = 2,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same people and platform ids; else the ids are new.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="A file to which each message that arrived is appended as a line of JSON.")
    ] = None,
) -> None:
    """Run the four emulated platforms and their phones alone."""
    if context.invoked_subcommand is not None:
        return
    logs.set_up(logs.Level.WARNING)

    async def work(stopping: asyncio.Event) -> None:
        webhooks = demo_facts.webhooks(gateway.rstrip("/")) if gateway else {}
        server = SandboxServer(demo_config(webhooks=webhooks, seed=seed, people=people, ledger=ledger), host, port)
        await server.start()
        typer.echo(f"the sandbox listens on {server.url}; its phones are at {server.url}/phones", err=True)
        await stopping.wait()
        await server.stop()

    serving.run(work)


@app.command()
def fault(
    channel: Annotated[str, typer.Argument(help="whatsapp, telegram, line, messenger or all.")] = "all",
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same sequence of faults.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long it holds; else until it is replaced.")] = None,
    latency: Annotated[float | None, typer.Option(help="Seconds before every answer.")] = None,
    jitter: Annotated[float | None, typer.Option(help="So many more seconds at most, by chance.")] = None,
    errors: Annotated[float | None, typer.Option(help="Share of messages refused with a transient error.")] = None,
    error: Annotated[str | None, typer.Option(help="Which one, by the platform's code; else a mix.")] = None,
    throttle: Annotated[float | None, typer.Option(help="Share refused with the rate limit error.")] = None,
    retry_after: Annotated[float | None, typer.Option(help="Seconds that such an answer asks to wait.")] = None,
    rate: Annotated[float | None, typer.Option(help="Messages a second that the account may send.")] = None,
    recipient_rate: Annotated[float | None, typer.Option(help="Messages a second to one recipient.")] = None,
    usage: Annotated[int | None, typer.Option(help="Percent in Meta's usage headers.")] = None,
    regain_minutes: Annotated[int | None, typer.Option(help="Minutes to regain access in these headers.")] = None,
    timeout_before: Annotated[float | None, typer.Option(help="Share not taken, without an answer.")] = None,
    timeout_after: Annotated[float | None, typer.Option(help="Share taken, without an answer.")] = None,
    hold: Annotated[float | None, typer.Option(help="Seconds until such a connection is closed; else 60.")] = None,
    cut_before: Annotated[float | None, typer.Option(help="Share cut before it was taken.")] = None,
    cut_after: Annotated[float | None, typer.Option(help="Share cut after it was taken.")] = None,
    half_body: Annotated[float | None, typer.Option(help="Share taken whose answer ends half-way.")] = None,
    garbage: Annotated[float | None, typer.Option(help="Share taken and answered 200 without JSON.")] = None,
    garbage_before: Annotated[float | None, typer.Option(help="Share not taken, answered 502 in HTML.")] = None,
    expired_token: Annotated[
        bool | None, typer.Option("--expired-token", help="Refuse every request: the token is not valid.")
    ] = None,
    blocked: Annotated[float | None, typer.Option(help="Share of recipients who blocked the sender.")] = None,
    quota: Annotated[bool | None, typer.Option("--quota", help="LINE: the month's messages are used up.")] = None,
    outage: Annotated[str | None, typer.Option(help="503, or refused: nothing works.")] = None,
    webhooks_drop: Annotated[float | None, typer.Option(help="Share of webhooks that never come.")] = None,
    webhooks_duplicate: Annotated[float | None, typer.Option(help="Share that come twice.")] = None,
    webhooks_reorder: Annotated[float | None, typer.Option(help="Share that come after the next one.")] = None,
    webhooks_delay: Annotated[float | None, typer.Option(help="Seconds that they are late at most.")] = None,
    whole: Annotated[
        str, typer.Option("--profile", metavar="JSON", help="A whole profile as JSON; options change it.")
    ] = "",
    clear: Annotated[bool, typer.Option("--clear", help="Let everything work again.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Only show what is broken.")] = False,
    as_json: options.AsJson = False,
    url: options.SandboxUrl = "",
    data: options.Data = options.DATA,
) -> None:
    """Let something go wrong on an emulated platform, until it is replaced or cleared.

    Shares are from 0 to 1. What is set replaces what was set before on that channel.
    """
    given = {name: value for name, value in locals().items() if value is not None and name not in _NO_MEMBERS}
    if channel != ALL and channel not in CHANNELS:
        raise typer.BadParameter(f"there are {', '.join(CHANNELS)} and {ALL}", param_hint="CHANNEL")
    profile = _profile(whole, given)
    if show or clear:
        if profile or (show and clear):
            raise typer.BadParameter("--list and --clear stand alone")
        method = "GET" if show else "DELETE"
    elif not profile:
        raise typer.BadParameter("name what goes wrong, such as --latency 2, or use --list or --clear")
    else:
        _check(profile, channel, given)
        method = "PUT"
    path = "/sandbox/faults" if show else f"/sandbox/faults/{channel}"
    answer = asyncio.run(_ask(running.sandbox_place(url, data), method, path, profile))
    if as_json:
        running.print_json(answer)
    else:
        _print(answer)


@app.command()
def export(
    person: Annotated[str, typer.Option(help="Only what happened to this person; else to all.")] = "",
    url: options.SandboxUrl = "",
    data: options.Data = options.DATA,
) -> None:
    """Print what happened on the phones since the last reset, as a transcript to keep: a test's case."""
    place = running.sandbox_place(url, data)
    running.print_json(asyncio.run(_ask(place, "GET", "/sandbox/transcript", {}, {"person": person})))


@app.command()
def replay(
    case: Annotated[Path, typer.Argument(help="A transcript that kurir sandbox export printed.")],
    check: Annotated[
        bool, typer.Option("--check", help="Let the person act for real, and compare what arrives with the case.")
    ] = False,
    pause: Annotated[float, typer.Option(min=0, max=5, help="Seconds between two steps at most, without --check.")] = 0,
    patience: Annotated[float, typer.Option(min=0, help="Seconds for each message to arrive, with --check.")] = 10,
    url: options.SandboxUrl = "",
    data: options.Data = options.DATA,
) -> None:
    """Reset the sandbox and play a transcript: to look at, or with --check to test who answers.

    With --check the gateway hears of all that the person does; without it nobody hears of anything.
    """
    place = running.sandbox_place(url, data)
    transcript = _read(case)
    if not check:
        answer = asyncio.run(_ask(place, "POST", "/sandbox/replay", transcript, {"pause": f"{pause:g}"}))
        for sentence in answer["data"]["refused"]:
            print(running.plain(sentence))
        print(f"{answer['data']['played']} steps were played")
        return
    try:
        differences = asyncio.run(cases.check_transcript(transcript, place, patience))
    except ReplayError as error:
        running.fail(running.plain(str(error)))
    for difference in differences:
        print(running.plain(str(difference)))
    if differences:
        raise typer.Exit(1)
    print("everything arrived as in the case")


def _read(case: Path) -> dict[str, Any]:
    try:
        transcript = _object(case.read_bytes())
    except OSError as error:
        running.fail(f"{case} cannot be read: {error.strerror}")
    if transcript is None:
        running.fail(f"{case} is no transcript: a JSON object is expected")
    return transcript


_NO_MEMBERS: Final = ("channel", "whole", "clear", "show", "as_json", "url", "data")


def _profile(text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile in *text*, changed by the options that were given."""
    try:
        profile = json.loads(text) if text else {}
    except ValueError as error:
        raise typer.BadParameter(f"--profile is no JSON: {error}") from None
    if not isinstance(profile, dict):
        raise typer.BadParameter("--profile is no JSON object")
    for name, value in given.items():
        group, _, member = name.partition("_")
        if group == "webhooks":
            webhooks = profile.setdefault("webhooks", {})
            if not isinstance(webhooks, dict):
                raise typer.BadParameter("--profile: webhooks is no JSON object")
            webhooks[member] = value
        else:
            profile[name] = value
    return profile


def _check(profile: Mapping[str, Any], channel: str, given: Mapping[str, Any]) -> None:
    """Refuse what the sandbox would refuse, before it is asked: a mistake in the options ends as every other such one."""
    try:
        read_profile(profile, CHANNELS if channel == ALL else (channel,))
    except ProfileError as error:
        name = error.member.replace(".", "_")
        hint = f"--{name.replace('_', '-')}" if name in given else "--profile"
        sentence = error.detail if name in given or not error.member else f"{error.member}: {error.detail}"
        raise typer.BadParameter(sentence, param_hint=hint) from None


async def _ask(
    url: str, method: str, path: str, body: Mapping[str, Any], query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the sandbox's answer; ends with a sentence when it refuses or is not there."""
    try:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS if "pause" not in (query or {}) else None)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                method, url + path, params=query, json=None if method in ("GET", "DELETE") else body
            ) as response,
        ):
            answer = _object(await response.read())
            if response.headers.get("X-Kurir-Sandbox") is None or answer is None:
                running.fail(f"what answers at {url} is no sandbox of kurir; name one with --url")
            if response.status != HTTPStatus.OK:
                running.fail(running.plain(answer.get("detail", f"the sandbox answered {response.status}")))
            return answer
    except (aiohttp.ClientError, TimeoutError) as error:
        running.sandbox_not_reached(url, error)


def _object(raw: bytes) -> dict[str, Any] | None:
    """Return the JSON object in *raw*, None where there is none."""
    try:
        value = json.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _print(answer: Mapping[str, Any]) -> None:
    """Print a line for each channel: what goes wrong there in words, and for how long still."""
    for channel in answer["data"]:
        left = answer["left_seconds"].get(channel)
        end = f", for {running.duration(left)} more" if left is not None else ""
        print(f"{channel:<10} {running.plain(answer['words'].get(channel, 'works'))}{end}")
