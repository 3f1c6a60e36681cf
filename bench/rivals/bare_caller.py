"""What callbacks are measured against: a loop that posts as many bodies as it is told, with aiohttp, and knows nothing else.

    python bench/rivals/bare_caller.py PORT ENDPOINT_URL IN_FLIGHT

It listens on PORT for a line with a number, posts that many, and answers with a line.
"""

import asyncio
import json
import sys

import aiohttp
import uvloop

PORT, URL, IN_FLIGHT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])


async def post_all(session: aiohttp.ClientSession, count: int) -> None:
    waiting = iter(range(count))

    async def post() -> None:
        for number in waiting:
            data = {
                "account": "bench-wa",
                "from": f"62812{number:08}",
                "text": f"Is my order {number} on its way?" + " " * 300,
            }
            body = json.dumps({"id": f"evt_{number}", "type": "message.received", "data": data}).encode()
            async with session.post(URL, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()

    await asyncio.gather(*(post() for _ in range(IN_FLIGHT)))


async def main() -> None:
    async with aiohttp.ClientSession() as session:

        async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readline()
            if line:
                await post_all(session, int(line))
                writer.write(b"done\n")
            writer.close()

        async with await asyncio.start_server(told, "127.0.0.1", PORT) as server:
            await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
