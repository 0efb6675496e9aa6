"""Looking at something a few times a second, in a thread of its own, while a test goes on."""

import threading
from abc import ABC, abstractmethod
from typing import Self

__all__ = ["PAUSE_SECONDS", "Looking"]

PAUSE_SECONDS = 0.25


class Looking(ABC):
    """Run `look_on` from the beginning to the end of a `with` block; it ends when `over` is set."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._thread = threading.Thread(target=self.look_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join(30)

    @abstractmethod
    def look_on(self) -> None:
        """Look until it is over."""
