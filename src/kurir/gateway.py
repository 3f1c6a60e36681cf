"""The gateway put together: store, directory, intake, delivery, HTTP; started in order, stopped in the other."""

import contextlib
import os
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI

from kurir import __version__
from kurir import channels as channel_registry
from kurir.administration import Administration
from kurir.auth import Administrator, Authenticator
from kurir.callbacks import keys as callback_keys
from kurir.callbacks.deliverer import Deliverer
from kurir.callbacks.endpoints import Endpoints
from kurir.callbacks.feed import Feed
from kurir.channels.base import Channel, MediaFacts
from kurir.clock import Clock, SystemClock, uuid7
from kurir.configuration.declared import declared, existing_records, open_account
from kurir.configuration.model import Configuration
from kurir.connect.connector import Connector
from kurir.connect.heard import LastWebhooks
from kurir.connect.quota import Quotas
from kurir.console.access import Access
from kurir.console.auditing import Audit
from kurir.console.live import Pulse
from kurir.console.references import References
from kurir.console.requests import RequestLog
from kurir.delivery.dispatcher import ALONE, Dispatcher, Sharing
from kurir.directory import Directory
from kurir.domain.account import Account
from kurir.duties import Duties
from kurir.egress import Egress, EgressSettings
from kurir.http.app import Parts, create_app
from kurir.http.client_limits import ClientLimits
from kurir.http.connect import Connecting
from kurir.http.console.state import Console
from kurir.http.edge import Edge
from kurir.http.hot import HealthOnly, HotPath
from kurir.http.operator import Operator
from kurir.http.server import HttpServer
from kurir.intake.accept import Acceptor
from kurir.intake.deep_links import DeepLinks
from kurir.intake.kept_files import FOLDER, Shelf
from kurir.intake.links import PURPOSE, MediaLinks
from kurir.intake.media import InboundFiles
from kurir.intake.media_keep import MediaKeeper
from kurir.intake.poll import Poller
from kurir.intake.receive import Hears, Receiver
from kurir.live import Live
from kurir.nodes import Keeper
from kurir.sandbox.state import Sandbox
from kurir.secretbox import SecretBox, open_box
from kurir.settings import PostgresUrl, Settings
from kurir.store import GatewayStore
from kurir.store.base import AccountRecord, ContactRecord, EndpointRecord, ErrorRecord, QueuedMessage, StoreError
from kurir.store.postgres import PostgresStore
from kurir.store.postgres.leases import ACCOUNT, ENDPOINT, UPKEEP, NodeRecord
from kurir.store.sqlite import SqliteStore
from kurir.tracing import Traces
from kurir.upkeep import Upkeep
from kurir.workers import AccountWork, Workers

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DemoContact:
    """A person to link at start, for the sandbox: (account, address) and the phone."""

    client_id: str
    account_id: str
    channel: str
    address: str
    phone: str
    name: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a start may want beside its configuration. ``reserved`` is the sandbox's media host → its base URL.

    ``share_port``: other processes of this machine may listen on the same port. ``sandbox`` is the sandbox of the same
    process, whose phones the console shows.
    """

    reserved: Mapping[str, str] = field(default_factory=dict)
    contacts: Sequence[DemoContact] = ()
    share_port: bool = False
    sandbox: Sandbox | None = None


class Gateway:
    """A running gateway. ``start`` opens everything, ``stop`` ends it without losing anything."""

    def __init__(
        self,
        configuration: Configuration,
        options: Options | None = None,
        *,
        store: GatewayStore | None = None,
        clock: Clock | None = None,
        channels: Mapping[str, Channel] | None = None,
    ) -> None:
        settings = configuration.settings
        self.configuration = configuration
        self.clock = clock or SystemClock()
        self.channels = channels if channels is not None else channel_registry.installed()
        self.store: GatewayStore = store or open_store(settings)
        self._options = options or Options()
        self._authenticator = Authenticator(self.clock)
        self._box: SecretBox | None = None
        self._egress: Egress | None = None
        self._traces = Traces(settings.traces_to, __version__) if settings.traces_to else None
        self._dispatcher: Dispatcher | None = None
        self._deliverer: Deliverer | None = None
        self._endpoints: Endpoints | None = None
        self._files: InboundFiles | None = None
        self._media_keeper: MediaKeeper | None = None
        self._shelf = Shelf(settings.data_folder / FOLDER, settings.inbound_media_space)
        self._poller: Poller | None = None
        self._quotas: Quotas | None = None
        self._heard = LastWebhooks()
        self._media_keys: tuple[bytes, ...] = ()
        self._feed = Feed(self.store)
        self._upkeep = Upkeep(self.store, self.clock, settings.retention, self._sweep, search_text=settings.search_text)
        self.directory = Directory(self.channels, self._open_account)
        self._client_limits = ClientLimits(
            settings.client_rate, settings.client_queue, self.store, self.directory, self.clock
        )
        self._links = MediaLinks(settings.public_url, lambda: self._media_keys, self.clock)
        hears = Hears(settled=self._settled, fed=self._fed, stopped=self._stopped)
        self._receiver = Receiver(self.store, self.directory, self.clock, hears, lambda: self._egress)
        self._keeper: Keeper | None = None
        self._duties: Duties | None = None
        if isinstance(self.store, PostgresStore):  # it may be one of many nodes, and cannot know that it is not
            self._duties = Duties(self.store, self.directory, self.clock, self._workers, self._configured)
            self._keeper = self.store.fences = Keeper(self.store, self._duties, settings.role)
        work = AccountWork(self._workers) if self._duties is None else self._duties.accounts
        self._live = Live(
            self.store, self.directory, self._authenticator, self.clock, work, self._workers, self._keeper
        )
        self._administration = Administration(
            self.store, self._opened_box, self.channels, self.clock, self._live.changed
        )
        self.console = self._create_console()
        self._node_id, self._since = uuid7(), self.clock.now()
        self.app = self._create_app()
        served = HealthOnly(self.app) if settings.role == "worker" else HotPath(self.app)
        host, port = settings.listen.host, settings.listen.port
        self.server = HttpServer(served, host, port, shared=self._options.share_port)

    async def start(self) -> None:
        """Open the store, bring it in line with the configuration, and serve.

        Raises StoreUnusable, EncryptionKeyError or OSError (port taken); then nothing is left running.
        """
        try:
            self.server.bind()
            if self._traces is not None:
                self._traces.open()
            await self.store.open()
            self._box = await open_box(self.configuration.settings.encryption_key, self.store)
            self._media_keys = self._box.derive(PURPOSE)
            await self._declare(self._box)
            self._egress = Egress(EgressSettings(self.configuration.settings.allow_networks, self._options.reserved))
            self._files = InboundFiles(self.store, self.directory, self._egress, self._links, self._shelf)
            self._media_keeper = MediaKeeper(self.store, self.directory, self._egress, self._shelf, self.clock)
            keeper = self._keeper
            sharing = ALONE if keeper is None else Sharing(keeper.tell, lambda name: keeper.may_begin(ACCOUNT + name))
            self._quotas = Quotas(self.store, self.directory, self._egress, self.clock, self._owns)
            self._dispatcher = Dispatcher(
                self.store,
                self.directory,
                self._egress,
                self.clock,
                fed=self._fed,
                parked=self._quotas.parked,
                sharing=sharing,
                traces=self._traces,
            )
            self._poller = Poller(
                self.store, self.directory, self._egress, self._receiver, self.clock, may_begin=sharing.may_begin
            )
            if keeper is None:
                await self._media_keeper.start()
                await self._dispatcher.start()
                await self._start_callbacks(self._box, self._egress)
                self._poller.start()
                self._quotas.start()
                self._upkeep.start()
            else:
                await self._start_callbacks(self._box, self._egress)
                self._quotas.start()
                await keeper.start()
            self._live.start()
            self._client_limits.start()
            self.console.requests.start()
            await self.server.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take no more requests, let running calls end, record what they brought, and close the store.

        What fails to stop keeps nothing else from being stopped.
        """
        async with contextlib.AsyncExitStack() as stack:
            if self._traces is not None:
                stack.push_async_callback(self._traces.close)
            stack.push_async_callback(self._close_store)
            stack.callback(self._authenticator.close)
            if self._egress is not None:
                stack.push_async_callback(self._egress.close)
            if self._deliverer is not None:
                stack.push_async_callback(self._deliverer.stop)
            if self._dispatcher is not None:
                stack.push_async_callback(self._dispatcher.stop)
            if self._keeper is not None:
                stack.push_async_callback(self._keeper.leave)
            if self._media_keeper is not None:
                stack.push_async_callback(self._media_keeper.stop)
            stack.push_async_callback(self._receiver.stop)
            if self._poller is not None:
                stack.push_async_callback(self._poller.stop)
            if self._quotas is not None:
                stack.push_async_callback(self._quotas.stop)
            stack.push_async_callback(self._upkeep.stop)
            stack.push_async_callback(self._live.stop)
            stack.push_async_callback(self._client_limits.stop)
            stack.push_async_callback(self.console.requests.stop)
            stack.callback(self.console.access.close)
            stack.push_async_callback(self.server.stop)
            stack.callback(self.console.pulse.close)
            stack.callback(self._feed.close)

    async def _start_callbacks(self, box: SecretBox, egress: Egress) -> None:
        def open_keys(record: EndpointRecord) -> callback_keys.Keys:
            return callback_keys.unseal(record, box)

        keeper, link = self._keeper, self._links.link
        if keeper is None:
            self._deliverer = Deliverer(self.store, egress, self.clock, open_keys, link=link, traces=self._traces)
        else:
            self._deliverer = Deliverer(
                self.store,
                egress,
                self.clock,
                open_keys,
                link=link,
                may_begin=lambda name: keeper.may_begin(ENDPOINT + name),
                elsewhere=keeper.tell,
                traces=self._traces,
            )
        self._endpoints = Endpoints(self.store, self._deliverer, egress, box, self.clock, self.directory.clients)
        await self._deliverer.start()

    async def _close_store(self) -> None:
        with contextlib.suppress(StoreError):
            await self.store.close()

    async def _declare(self, box: SecretBox) -> None:
        now = self.clock.now()
        existing = await existing_records(self.store)
        await self.store.declare(declared(self.configuration, box, existing, now=now), now)
        await self._live.load()
        for one in self._options.contacts:
            if await self.store.contact(one.account_id, one.address) is not None:
                continue  # linked at an earlier start, and perhaps moved since
            record = ContactRecord(
                one.client_id, one.account_id, one.channel, one.address, one.phone, one.name, last_inbound_at=now
            )
            await self.store.put_contact(record, now)

    def _open_account(self, record: AccountRecord) -> Account:
        return open_account(record, self._opened_box(), self.channels)

    def _opened_box(self) -> SecretBox:
        assert self._box is not None, "accounts are opened after the box"  # noqa: S101 - an order within this class
        return self._box

    def _create_app(self) -> FastAPI:
        settings = self.configuration.settings
        administrator = Administrator(settings.admin_token, self.clock)
        watcher = Administrator(settings.metrics_token or settings.admin_token, self.clock)
        base = urlsplit(settings.public_url).path.rstrip("/")
        edge = Edge(self._authenticator, administrator, watcher, self._client_limits, base)
        acceptor = Acceptor(
            self.store, self.directory, self.channels, self.clock, self._accepted, self._probe, self._traces
        )
        return create_app(
            Parts(
                edge=edge,
                store=self.store,
                directory=self.directory,
                channels=self.channels,
                acceptor=acceptor,
                receiver=self._receiver,
                operator=self._operator,
                endpoints=self._callback_endpoints,
                feed=self._feed,
                connecting=self._connecting,
                heard=self._heard,
                administration=self._administration,
                link=self._links.link,
                deep_links=DeepLinks(self.store, self.clock, self._calls),
                files=self._inbound_files,
                clock=self.clock,
                readiness=self._readiness,
                nodes=self._nodes,
                console=self.console,
                platform_codes=platform_codes(self.channels),
            )
        )

    def _create_console(self) -> Console:
        settings = self.configuration.settings
        return Console(
            access=Access(self.store, self.clock, self._opened_box),
            audit=Audit(self.store, self.clock),
            pulse=Pulse(self.store.pulse),
            requests=RequestLog(self.store, self.clock),
            clock=self.clock,
            public_url=settings.public_url,
            masked=settings.mask,
            label=settings.label,
            references=References(self._opened_box),
            sandbox=self._options.sandbox,
            settings=settings,
        )

    def _connecting(self) -> Connecting:
        assert self._egress is not None, "the server starts after the egress, and stops before it"  # noqa: S101 - an order within this class
        connector = Connector(self._egress, self.clock, self.configuration.settings.public_url)
        return Connecting(self._egress, connector, self._heard)

    def _configured(self) -> None:
        self._live.hear()

    def _accepted(self, account_id: str, message: QueuedMessage | None) -> None:
        if self._dispatcher is not None:
            self._dispatcher.accepted(account_id, message)

    def _owns(self, account_id: str) -> bool:
        return self._dispatcher is not None and self._dispatcher.owns(account_id)

    def _operator(self) -> Operator:
        assert self._dispatcher is not None, "the server starts after the dispatcher, and stops before it"  # noqa: S101 - an order within this class
        return self._dispatcher

    def _calls(self) -> Egress:
        assert self._egress is not None, "the server starts after egress, and stops before it"  # noqa: S101 - an order within this class
        return self._egress

    def _callback_endpoints(self) -> Endpoints:
        assert self._endpoints is not None, "the server starts after the callbacks, and stops before them"  # noqa: S101 - an order within this class
        return self._endpoints

    def _workers(self) -> Workers:
        parts = self._dispatcher, self._deliverer, self._poller, self._quotas, self._media_keeper
        dispatcher, deliverer, poller, quotas, media = parts
        assert dispatcher and deliverer and poller and quotas and media, "the keeper starts after them"  # noqa: S101, PT018 - an order within this class
        return Workers(dispatcher, deliverer, poller, quotas, self._upkeep, media, self._fed_here)

    async def _nodes(self) -> Sequence[NodeRecord]:
        if isinstance(self.store, PostgresStore):
            return await self.store.nodes()
        accounts = [ACCOUNT + name for name in self.directory.accounts()]
        endpoints = [ENDPOINT + name for name in (self._deliverer.enabled() if self._deliverer is not None else ())]
        names = (*sorted(accounts), *sorted(endpoints), UPKEEP)
        now = self.clock.now()
        host, pid = socket.gethostname(), os.getpid()
        return [NodeRecord(self._node_id, host, pid, "all", False, self._since, now, names)]

    def _fed(self, client_id: str) -> None:
        self._fed_here(client_id)
        if self._keeper is not None:
            self._keeper.tell("fed", client_id)

    def _fed_here(self, client_id: str) -> None:
        self._feed.wake(client_id)
        if self._deliverer is not None:
            self._deliverer.wake(client_id)
        if self._media_keeper is not None:
            self._media_keeper.wake(client_id)

    async def _sweep(self) -> int:
        return 0 if self._media_keeper is None else await self._media_keeper.sweep()

    def _stopped(self, account_id: str, error: ErrorRecord) -> None:
        if self._dispatcher is not None:
            self._dispatcher.stopped(account_id, error)

    def _inbound_files(self) -> InboundFiles:
        assert self._files is not None, "the server starts after the egress, and stops before it"  # noqa: S101 - an order within this class
        return self._files

    def _settled(self, account_id: str, address: str) -> None:
        if self._dispatcher is not None:
            self._dispatcher.settled(account_id, address)

    async def _probe(self, url: str) -> MediaFacts:
        return MediaFacts() if self._egress is None else await self._egress.probe(url)

    async def _readiness(self) -> list[str]:
        wrong: list[str] = []
        trouble = self.store.health()
        if trouble is not None:
            wrong.append(f"store: {trouble}")
        if self._dispatcher is None or not self._dispatcher.alive():
            wrong.append("delivery: a worker does not run")
        if self._deliverer is None or not self._deliverer.alive():
            wrong.append("callbacks: a worker does not run")
        if self._poller is None or not self._poller.alive():
            wrong.append("poll: an account's updates are not fetched")
        if self._media_keeper is None or not self._media_keeper.alive():
            wrong.append("files: an account's files are not kept")
        if self._quotas is None or not self._quotas.alive():
            wrong.append("quotas: they are not read")
        if not self._live.alive():
            wrong.append("configuration: changes are not followed")
        if self._keeper is not None and (trouble := self._keeper.alive()):
            wrong.append(f"node: {trouble}")
        if (self._duties is None or self._duties.upkeeping) and not self._upkeep.alive():
            wrong.append("upkeep: a task does not run")
        return wrong


def open_store(settings: Settings) -> GatewayStore:
    """Return the store that the settings name, not open yet."""
    if isinstance(settings.database, PostgresUrl):
        return PostgresStore(settings.database.url, connections=settings.database_connections)
    return SqliteStore(settings.database)


def platform_codes(channels: Mapping[str, Channel]) -> dict[str, list[str]]:
    """Return our error code → the platform codes that map to it, from the channels' own tables."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, channel in channels.items():
        for platform_code, code in channel.PLATFORM_CODES:
            found[code].append(f"{name} {platform_code}")
    return dict(found)
