"""The bare relay: no validation, nothing durable, posting on with the fastest HTTP client of Python, pyreqwest.

python bench/rivals/bare_relay.py PORT PLATFORM_URL
"""

import sys

from pyreqwest.client import ClientBuilder

from kurir.bench import bare


def pyreqwest_client(platform: str):
    url = platform + bare.PATH

    async def opened():
        client = ClientBuilder().http1_only().no_proxy().build()

        async def post(content: bytes) -> bytes:
            said = await client.post(url).header("Content-Type", "application/json").body_bytes(content).build().send()
            return bytes(await said.bytes())

        return post, client.close

    return opened


if __name__ == "__main__":
    bare.serve(bare.relay(pyreqwest_client(sys.argv[2])), int(sys.argv[1]))
