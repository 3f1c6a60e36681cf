"""Modules that are imported when something of them is first used.

Every process that runs tests reads every test file, and an SDK takes seconds of processor to import.
"""

import importlib
import warnings
from typing import Any


class Lazy:
    """Stands for the module *name*. Warnings that it gives when it is imported are left out where it is not *loud*."""

    def __init__(self, name: str, *, loud: bool = True) -> None:
        self._name = name
        self._loud = loud

    def __getattr__(self, attribute: str) -> Any:
        with warnings.catch_warnings():
            if not self._loud:
                warnings.simplefilter("ignore")
            return getattr(importlib.import_module(self._name), attribute)
