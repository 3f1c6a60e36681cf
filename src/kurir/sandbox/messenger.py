"""Messenger: written next."""
from starlette.requests import Request
from starlette.responses import Response
from kurir.sandbox.state import Sandbox
class Messenger:
    def __init__(self, sandbox: Sandbox) -> None: ...
    def owns(self, node: str) -> bool: return False
    def knows(self, node: str) -> bool: return False
    def edges(self): return {}
    async def node(self, request: Request) -> Response: raise NotImplementedError
