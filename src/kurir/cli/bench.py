"""``kurir bench``: load on a gateway of its own, and proof by kills, on the machine of whoever doubts."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer

from kurir.bench import faults, report, scenario
from kurir.bench import speed as speeds
from kurir.bench.processes import DidNotStart
from kurir.cli import running, serving
from kurir.sandbox.config import CHANNELS


def bench(
    kill: Annotated[int, typer.Option(min=0, max=10_000, help="End the gateway so often by SIGKILL.")] = 0,
    term: Annotated[int, typer.Option(min=0, max=10_000, help="End the gateway so often by SIGTERM.")] = 0,
    rate: Annotated[float, typer.Option(min=0.1, max=100_000, help="Messages a second, over all channels.")] = 200.0,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="How long the load lasts, about; else 30, or 2 for each end.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the load, the kills and the faults; else a new one, which is printed.")
    ] = None,
    fault: Annotated[
        str, typer.Option(help=f"What the platforms do: {', '.join(faults.PROFILES)}, or a profile as JSON.")
    ] = "",
    channels: Annotated[str, typer.Option(help="The channels to send on, with commas between.")] = ",".join(CHANNELS),
    people: Annotated[int, typer.Option(min=1, max=100_000, help="Recipients on each channel.")] = 60,
    speed: Annotated[
        bool,
        typer.Option("--speed", help="Measure how fast it is, beside bare programs, and end nothing; takes a minute."),
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Keep database, ledgers and logs in this folder; else they are deleted.")
    ] = None,
) -> None:
    """Load a gateway against four emulated platforms, end it as often as asked, and check what became of every message.

    It starts its own gateway and its own sandbox: nothing leaves this machine, and nothing of a gateway that runs here is
    touched. The exit code is 1 when an invariant is broken.
    """
    if speed:
        if kill or term or fault:
            raise typer.BadParameter("--speed ends nothing and breaks nothing: leave out --kill, --term and --fault")
        _measure()
        return
    chosen = tuple(dict.fromkeys(word.strip() for word in channels.split(",") if word.strip()))
    if not chosen or not set(chosen) <= set(CHANNELS):
        raise typer.BadParameter(f"--channels takes {', '.join(CHANNELS)}")
    try:
        profile = faults.profile(fault or ("shaky" if kill else "none"))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    plan = scenario.Plan(
        kills=kill,
        terms=term,
        rate=rate,
        seconds=seconds if seconds is not None else max(30.0, 2.0 * (kill + term)),
        seed=seed if seed is not None else secrets.randbelow(1_000_000),
        channels=chosen,
        people=people,
        profile=profile,
    )
    typer.echo(f"seed {plan.seed}", err=True)
    try:
        with scenario.folder_of(keep) as folder:
            result = asyncio.run(scenario.run(plan, folder, lambda text: typer.echo(text, err=True)))
            text = report.report(result)
            typer.echo(text)
            if keep is not None:
                (folder / "report.txt").write_text(text + "\n", "utf-8")
                (folder / "client.jsonl").write_text(report.client_book(result), "utf-8")
                typer.echo(f"the books are in {folder}", err=True)
    except (DidNotStart, ValueError) as error:
        running.fail(str(error))
    if not result.held:
        raise typer.Exit(1)


def _measure() -> None:
    """Print how fast the gateway is on this machine."""
    typer.echo(scenario.origin())
    try:
        with asyncio.Runner(loop_factory=serving.loop_factory()) as runner:
            typer.echo("\n" + runner.run(speeds.short(lambda text: typer.echo(text, err=True))))
    except DidNotStart as error:
        running.fail(str(error))
    typer.echo(
        "\nThe ratio is that of the rates, round by round; by processor: of the processor time of each, which other work on\n"
        "the machine disturbs less. Everything was durable before its answer; the bare programs keep nothing."
    )
