"""Line: written next."""
from kurir.sandbox.state import Sandbox
class Line:
    def __init__(self, sandbox: Sandbox) -> None: ...
    def routes(self): return []
