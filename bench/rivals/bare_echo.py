"""The bare echo: an ASGI application that sends the body back. It is the one that ``kurir bench --speed`` runs.

python bench/rivals/bare_echo.py PORT [PLATFORM_URL]
"""

import sys

from kurir.bench import bare

if __name__ == "__main__":
    bare.serve(bare.echo, int(sys.argv[1]), lifespan=False)
