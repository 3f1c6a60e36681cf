"""The bare relay once more, posting on with aiohttp, the client that the gateway uses: what of the gap is the client's.

python bench/rivals/relay_aiohttp.py PORT PLATFORM_URL
"""

import sys

from kurir.bench import bare

if __name__ == "__main__":
    bare.serve(bare.relay(bare.aiohttp_client(sys.argv[2])), int(sys.argv[1]))
