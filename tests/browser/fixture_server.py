"""A tiny sandbox for the page's tests: the endpoints that the page calls, with canned phones of every block kind."""

import asyncio
import contextlib
import io
import json
import math
import struct
import threading
import wave
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kurir.sandbox.pages import STATIC, phones_page
from kurir.sandbox.view import Block, Bubble, Choice, LedgerEvent, Phone, Section, Span

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
CURL = "curl -d '{\"hello\": true}' localhost"
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
MEDIA = "https://media.sandbox.invalid"
DELIVERS = ("whatsapp", "messenger")

PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" width="400" height="300"><defs>
<linearGradient id="s" x2="0" y2="1"><stop stop-color="#f7c59f"/>
<stop offset="1" stop-color="#f0876a"/></linearGradient>
<linearGradient id="c" x2="1"><stop stop-color="#fffaf2"/><stop offset="1" stop-color="#ecdccb"/></linearGradient>
</defs><rect width="400" height="300" fill="url(#s)"/><circle cx="298" cy="92" r="46" fill="#fff1d6"/>
<path d="M0 190c70-60 130-50 200-20s130 20 200-15v145H0z" fill="#c9584a"/>
<path d="M0 222c90-40 160-20 230-5s110 10 170-20v103H0z" fill="#8f3b42"/>
<rect y="246" width="400" height="54" fill="#4a2430"/><ellipse cx="176" cy="254" rx="92" ry="12" fill="#331822"/>
<path d="M108 150h136l-10 82a22 22 0 0 1-22 20h-72a22 22 0 0 1-22-20z" fill="url(#c)"/>
<path d="M240 168c40-6 48 52-6 54" fill="none" stroke="#ecdccb" stroke-width="13"/>
<ellipse cx="176" cy="151" rx="68" ry="15" fill="#fffaf2"/><ellipse cx="176" cy="152" rx="58" ry="11" fill="#6b3a26"/>
<path d="M150 152c14-9 38-9 52 0-14 8-38 8-52 0z" fill="#d9a577"/>
<g fill="none" stroke="#fff" stroke-opacity=".75" stroke-width="6" stroke-linecap="round">
<path d="M150 122c-10-16 12-22 2-42M178 118c-10-18 12-26 2-48M206 122c-10-16 12-22 2-42"/></g>
<g fill="#5a2d1f"><ellipse cx="300" cy="250" rx="13" ry="8" transform="rotate(-24 300 250)"/>
<ellipse cx="328" cy="258" rx="13" ry="8" transform="rotate(18 328 258)"/></g></svg>"""


def voice() -> bytes:
    """Return two seconds of a voice-like hum as WAV."""
    rate = 8000
    loud = [abs(math.sin(i / 900) * math.sin(i / 2300 + 1)) for i in range(2 * rate)]
    data = b"".join(struct.pack("<h", int(9000 * at * math.sin(i / 5.5))) for i, at in enumerate(loud))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(data)
    return out.getvalue()


class Maker:
    """Makes one phone's bubbles: ids and times run on, the ledger says what that channel can say."""

    def __init__(self, channel: str, person: str, address: str) -> None:
        self.phone = Phone(channel=channel, person=person, address=address, business="Kopi Senja")
        self.at = datetime.now().astimezone().replace(hour=12, minute=38, second=1, microsecond=0)

    def add(self, *blocks: Block, status: int = 1, quoted: str = "", wait: int = 20) -> Bubble:
        channel = self.phone.channel
        status = status if channel in DELIVERS else min(status, 1)
        tick = "failed" if status < 0 else ("clock", "sent", "delivered", "read")[status]
        bubble = Bubble(
            id=f"{channel}-{self.phone.person.lower()}-{len(self.phone.bubbles) + 1}",
            at=self.at.isoformat(),
            blocks=blocks,
            quoted=quoted,
            tick=tick,
            status=status,
            final=channel not in DELIVERS,
            events=self.events(status),
            payload={"to": self.phone.address, "type": blocks[0].kind, "note": "as it arrived"},
        )
        self.phone.bubbles.append(bubble)
        self.at += timedelta(seconds=wait)
        return bubble

    def events(self, status: int) -> list[LedgerEvent]:
        def one(seconds: int, reached: int, what: str, answer: str = "200") -> LedgerEvent:
            return LedgerEvent((self.at + timedelta(seconds=seconds)).isoformat(), reached, what, answer)

        channel = self.phone.channel
        if channel == "telegram":
            return [one(0, 1, "answered with a message id: final on this channel", "")]
        if channel == "line":
            return [one(0, 1, "answered 200: final on this channel", "")]
        names = ("webhook: sent", "webhook: delivered", "webhook: read")
        if channel == "messenger":
            names = ("answered 200: sent", "webhook: message_deliveries", "webhook: message_reads")
        found = [one(0, 0, "accepted; WhatsApp says sent by webhook", "")] if channel == "whatsapp" else []
        if status < 0:
            return [*found, one(1, status, "webhook: failed, 131026 Message undeliverable", "200")]
        return found + [
            one(at, at, names[at - 1], "" if channel == "messenger" and at == 1 else "200")
            for at in range(1, status + 1)
        ]


def text(words: str, role: str = "body", spans: tuple[Span, ...] = ()) -> Block:
    return Block("text", text=words, role=role, spans=spans)


def units(words: str, part: str) -> int:
    """Return where *part* begins in *words*, in UTF-16 units."""
    return len(words[: words.index(part)].encode("utf-16-le")) // 2


def buttons(channel: str, *titles: str) -> tuple[Block, ...]:
    """Return one block of rows; on Telegram one block for each row of keys."""
    choices = tuple(Choice(one, payload=one.lower()) for one in titles)
    if channel == "telegram":
        return tuple(Block("buttons", style="inline", choices=(one,)) for one in choices)
    return (Block("buttons", style="rows", choices=choices),)


def sari(channel: str, address: str) -> Phone:
    """Return the phone of the README's picture: an order, confirmed and on its way."""
    make = Maker(channel, "Sari", address)
    paid = "Hi Sari 👋 your order #1042 is paid, Rp 68.000. Thank you! The bar starts in five minutes."
    spans = (Span(units(paid, "#"), 5, "bold"),)
    make.add(text(paid, spans=spans if channel in ("whatsapp", "telegram") else ()), status=3)
    items = "2 × Kopi Susu Gula Aren\n1 × Roti Bakar Keju\nReady around 13:05."
    picture = Block("image", url=f"{MEDIA}/demo.svg", name="A cup of coffee at sunset")
    footer = text("Pickup at Jalan Senja 8", "footer")
    choices = buttons(channel, "Track my order", "Change the time", "Talk to us")
    if channel == "telegram":
        caption = f"Your order is being made\n{items}\n\nPickup at Jalan Senja 8"
        block = text(caption, "caption", (Span(0, 24, "bold"), Span(caption.rindex("Pickup"), 23, "italic")))
        make.add(picture, block, *choices)
    elif channel == "messenger":
        make.add(picture, text("Your order is being made", "title"), text(items, "subtitle"), *choices, status=2)
    else:
        header = () if channel == "whatsapp" else (text("Your order is being made", "header"),)
        title = "Your order is being made\n" if channel == "whatsapp" else ""
        body = text(title + items, spans=(Span(0, len(title) - 1, "bold"),) if title else ())
        make.add(picture, *header, body, footer, *choices, status=2)
    return make.phone


def every_kind(channel: str, address: str) -> Phone:
    """Return a phone that holds every block kind."""
    make = Maker(channel, "Budi", address)
    plain = "Marks 🎉 bold, italic, gone and code. *This* stays, see https://example.com/menu."
    words = ("bold", "italic", "gone", "code")
    styles = ("bold", "italic", "strike", "code")
    spans = tuple(Span(units(plain, word), len(word), style) for word, style in zip(words, styles, strict=True))
    make.add(text(plain, spans=spans), status=3)
    make.add(text("ขอบคุณค่ะ · ありがとう · شكراً"), status=3)
    make.add(text(HOSTILE), status=2, quoted="Is it still open?")
    make.add(Block("image", url=f"{MEDIA}/demo.svg", name="Coffee"), text("Fresh from the bar", "caption"), status=2)
    make.add(Block("image", url=f"{MEDIA}/demo.svg", name="Coffee"), status=2)
    make.add(Block("video", url=f"{MEDIA}/demo.mp4", poster=f"{MEDIA}/demo.svg", name="How we roast"), status=2)
    make.add(Block("audio", url=f"{MEDIA}/voice.wav", voice=True, duration_ms=2000), status=2)
    make.add(Block("audio", url=f"{MEDIA}/voice.wav", name="Jingle.wav", duration_ms=2000), status=2)
    make.add(
        Block("document", url=f"{MEDIA}/demo.pdf", name="Invoice 1042.pdf", size=182_400, mime_type="application/pdf"),
        text("Your invoice", "caption"),
        status=2,
    )
    place = Block(
        "location", latitude=-6.2087634, longitude=106.845599, title="Kopi Senja", text="Jalan Senja 8, Jakarta"
    )
    make.add(place, status=2)
    make.add(
        text("Is this time right?", "header"),
        text("Pickup today at 13:05."),
        text("Answer before 13:00", "footer"),
        *buttons(channel, "Yes", "Another time", "Cancel"),
        status=2,
    )
    link = Choice("See the menu", url="https://example.com/menu")
    style = "inline" if channel == "telegram" else "rows"
    pair = (Choice("Left", "l"), Choice("Right", "r"))
    keys = (Block("buttons", style=style, choices=pair), Block("buttons", style=style, choices=(link,)))
    make.add(text("Two keys and a button that opens a page."), *keys, status=2)
    hot = (Choice("Kopi Susu", "a", description="With palm sugar"), Choice("Americano", "b"))
    cold = (Choice("Es Kopi", "c", description="Iced, 350 ml"), Choice("Matcha", "d", description="Stone ground"))
    sections = (Section("Hot", hot), Section("Cold", cold))
    make.add(text("What would you like?"), Block("list", label="See drinks", sections=sections), status=2)
    cards = tuple(
        (
            Block("image", url=f"{MEDIA}/demo.svg", name=title),
            text(title, "title"),
            text(price, "subtitle"),
            Block("buttons", style="rows", choices=(Choice("Order", title), Choice("Details", title))),
        )
        for title, price in (("Kopi Susu", "Rp 24.000"), ("Americano", "Rp 20.000"), ("Es Kopi", "Rp 26.000"))
    )
    make.add(Block("carousel", cards=cards), status=2)
    make.add(Block("unknown", text="Sticker 446/1988"), status=1)
    make.add(Block("unknown", text='{"type":"hologram","hologram":{"id":"42"}}'), status=1)
    make.add(Block("image", url=f"{MEDIA}/absent.png"), text("This picture is gone", "caption"), status=1)
    if channel == "whatsapp":
        make.add(text("You cannot see this one"), status=-2)
        make.add(text("And this is on its way"), status=0)
    chips = tuple(Choice(title, title.lower()) for title in ("Great", "Fine", "Could be better"))
    last = (Block("buttons", style="chips", choices=chips),) if channel in ("line", "messenger") else ()
    make.add(text("How was your coffee?"), *last, status=1)
    return make.phone


def canned() -> list[Phone]:
    """Return two people's phones."""
    addresses = {
        "whatsapp": ("6281234567801", "6281234567802"),
        "telegram": ("700100201", "700100202"),
        "line": ("U4af4980629f1a2b3c4d5e6f708192a3b", "U9bd4980629f1a2b3c4d5e6f708192a3c"),
        "messenger": ("6801234567890123", "6801234567890124"),
    }
    return [
        make(channel, pair[index])
        for index, make in enumerate((sari, every_kind))
        for channel, pair in reversed(addresses.items())
    ]


class Sandbox:
    """What the fixture server holds, and the levers that tests pull from their own thread."""

    def __init__(self) -> None:
        self.phones = canned()
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.refuse_streams = False
        self.refuse_posts = False
        self.hint = True
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[asyncio.Queue[str | None]] = set()

    def phone(self, channel: str, person: str = "Sari") -> Phone:
        return next(one for one in self.phones if (one.channel, one.person) == (channel, person))

    def publish(self, phone: Phone) -> None:
        """Send *phone* to every stream, from any thread."""
        self._tell(f"event: phone\ndata: {json.dumps(phone.as_json())}\n\n")

    def drop_streams(self) -> None:
        """End every stream, as a restart does."""
        self._tell(None)

    def _tell(self, message: str | None) -> None:
        def put() -> None:
            for queue in list(self._streams):
                queue.put_nowait(message)

        assert self._loop
        self._loop.call_soon_threadsafe(put)

    async def page(self, _: Request) -> Response:
        return HTMLResponse(phones_page())

    async def list_phones(self, _: Request) -> Response:
        return JSONResponse({"data": [phone.as_json() for phone in self.phones]})

    async def events(self, _: Request) -> Response:
        if self.refuse_streams:
            return Response(status_code=503)
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._streams.add(queue)

        async def stream() -> AsyncIterator[str]:
            try:
                yield "retry: 300\n\n"
                while (message := await queue.get()) is not None:
                    yield message
            finally:
                self._streams.discard(queue)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def switch(self, request: Request) -> Response:
        change = await request.json()
        self.posts.append((request.url.path, change))
        if self.refuse_posts:
            return Response(status_code=500)
        wanted = (request.path_params["channel"], request.path_params["address"])
        phone = next(one for one in self.phones if (one.channel, one.address) == wanted)
        for name, value in change.items():
            setattr(phone, name, value)
        return JSONResponse({"data": phone.as_json()})

    async def reset(self, request: Request) -> Response:
        self.posts.append((request.url.path, await request.json()))
        for phone in self.phones:
            phone.bubbles.clear()
            phone.refused.clear()
        return JSONResponse({"data": None})

    async def curl(self, _: Request) -> Response:
        return JSONResponse({"curl": CURL}) if self.hint else Response(status_code=404)

    async def media(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name.endswith(".svg"):
            return Response(PICTURE, media_type="image/svg+xml")
        if name.endswith(".wav"):
            return Response(voice(), media_type="audio/wav")
        return Response(status_code=404)

    def app(self) -> Any:
        async def secure(scope: Any, receive: Any, send: Any) -> None:
            async def guarded(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"content-security-policy", POLICY.encode()))
                await send(message)

            await routes(scope, receive, guarded if scope["type"] == "http" else send)

        routes = Starlette(
            routes=[
                Route("/phones", self.page),
                Mount("/phones/static", StaticFiles(directory=STATIC)),
                Route("/sandbox/phones", self.list_phones),
                Route("/sandbox/phones/{channel}/{address}", self.switch, methods=["POST"]),
                Route("/sandbox/events", self.events),
                Route("/sandbox/reset", self.reset, methods=["POST"]),
                Route("/sandbox/hint", self.curl),
                Route("/sandbox/media/{name}", self.media),
            ],
        )
        return secure


@contextlib.contextmanager
def serving() -> Iterator[Sandbox]:
    """Serve a fresh sandbox on a free port for as long as the context lasts."""
    sandbox = Sandbox()
    config = uvicorn.Config(sandbox.app(), port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "the fixture server did not start"
    sandbox.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield sandbox
    finally:
        if sandbox._loop:
            sandbox.drop_streams()
        server.should_exit = True
        thread.join(5)
