"""A network namespace for one process: a machine of its own as far as the network goes, with one cable that can be pulled.

The cable is a pair of virtual network cards; over it the process reaches the database, and nothing else. What else it needs
(the platforms) and is needed for (its port) is on 127.0.0.1 in there as out here: a relay on each side passes it through a
Unix socket, since the file system is shared. So pulling the cable cuts the process off from the database alone.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TextIO

_NUMBERS = count()
_PIECE = 65_536


def possible() -> str:
    """Return why no namespace can be made here, "" where it can."""
    if os.getuid() != 0:
        return "only root makes network namespaces"
    if shutil.which("ip") is None:
        return "the program ip is missing (install the package iproute2)"
    name = f"kurir-{os.getpid()}-probe"
    for words in (
        ("netns", "add", name),
        ("-n", name, "link", "add", "kurir0", "type", "veth", "peer", "name", "kurir1"),
    ):
        done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
        if done.returncode:
            break
    subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)
    return f"this kernel makes none: {done.stderr.strip()}" if done.returncode else ""


class Namespace:
    """A namespace. ``host`` is the address of this side of its cable."""

    def __init__(self, folder: Path) -> None:
        number = next(_NUMBERS)
        self._folder = folder
        self.name = f"kurir-{os.getpid()}-{number}"
        self._card = f"kur{os.getpid() % 100_000}.{number}"  # the kernel's names have at most 15 characters
        network = f"10.{os.getpid() % 250}.{os.getpid() // 250 % 250}."
        self.host, self.inside = f"{network}{4 * number + 1}", f"{network}{4 * number + 2}"
        self._relays: list[subprocess.Popen[bytes]] = []

    @property
    def within(self) -> tuple[str, ...]:
        """The command that runs a command in the namespace."""
        return ("ip", "netns", "exec", self.name)

    def make(self) -> None:
        for line in (
            f"netns add {self.name}",
            f"link add {self._card} type veth peer name kurir netns {self.name}",
            f"addr add {self.host}/30 dev {self._card}",
            f"link set {self._card} up",
            f"-n {self.name} addr add {self.inside}/30 dev kurir",
            f"-n {self.name} link set kurir up",
            f"-n {self.name} link set lo up",
        ):
            _ip(line)

    def pull(self) -> None:
        """Pull the cable: what is sent is lost, and nobody is told."""
        _ip(f"link set {self._card} down")

    def plug(self) -> None:
        """Plug it in again."""
        _ip(f"link set {self._card} up")

    def let_out(self, port: int) -> Path:
        """Let the process reach this machine's *port* as its own 127.0.0.1.

        Returns a file with the moment (unix seconds) of each time that it sent something there, one a line.
        """
        self._pass(port, (), self.within)
        return self._path(port).with_suffix(".moments")

    def let_in(self, port: int) -> None:
        """Let this machine reach the process's *port* as 127.0.0.1."""
        self._pass(port, self.within, ())

    def _pass(self, port: int, ends: tuple[str, ...], begins: tuple[str, ...]) -> None:
        path = str(self._path(port))
        for within, way in ((ends, ("unix", path, str(port))), (begins, ("tcp", path, str(port)))):
            self._relays.append(subprocess.Popen((*within, sys.executable, __file__, *way)))

    def _path(self, port: int) -> Path:
        return self._folder / f"{self.name}-{port}.sock"

    def remove(self) -> None:
        for relay in self._relays:
            relay.kill()
            relay.wait()
        subprocess.run(("ip", "netns", "del", self.name), capture_output=True, check=False)
        subprocess.run(("ip", "link", "del", self._card), capture_output=True, check=False)


@contextmanager
def namespace(folder: Path) -> Iterator[Namespace]:
    """Make a namespace, and take it away again."""
    made = Namespace(folder)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _ip(line: str) -> None:
    done = subprocess.run(("ip", *line.split()), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {line}: {done.stderr.strip()}")


# --- the relay, a program of its own ------------------------------------------------------------------------------------


async def _relay(way: str, path: str, port: int) -> None:
    """Listen on the Unix socket and connect to the port («unix»), or the other way round («tcp»)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if way == "unix":
                other, to_other = await asyncio.open_connection("127.0.0.1", port)
            else:
                other, to_other = await asyncio.open_unix_connection(path)
        except OSError:
            writer.transport.abort()
            return
        ways = [asyncio.create_task(_copy(reader, to_other, moments)), asyncio.create_task(_copy(other, writer, None))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for one in ways:
            one.cancel()
        writer.close()
        to_other.close()

    moments = Path(path).with_suffix(".moments").open("a", buffering=1) if way == "unix" else None
    if way == "unix":
        server = await asyncio.start_unix_server(serve, path)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moments: TextIO | None) -> None:
    try:
        while piece := await reader.read(_PIECE):
            if moments is not None:
                moments.write(f"{time.time()}\n")
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass


if __name__ == "__main__":
    asyncio.run(_relay(sys.argv[1], sys.argv[2], int(sys.argv[3])))
