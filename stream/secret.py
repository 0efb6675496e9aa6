"""A secret: it shows itself to nobody who does not ask for it by name.

Printing, formatting, logging and serialising give three stars or fail.  What has been revealed
to a library may come back in the library's own words, so logs and crash output pass `redact`.
"""

import hmac
import json
from typing import NoReturn

__all__ = ["Secret", "redact"]

_MASK = "***"
# A shorter one would blot out ordinary words, and protects nothing.
_LENGTH_MIN = 4
_revealed: set[str] = set()


class Secret:
    """Hold a password.

    >>> password = Secret("correct horse")
    >>> print(password, f"{password:>5}", [password])
    ***   *** [Secret(***)]
    >>> redact(f"login failed: {password.reveal()}")
    'login failed: ***'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        """Hide a value."""
        self._value = value

    def reveal(self) -> str:
        """Give the value to who must send it; from here on, logs leave it out."""
        value = self._value
        if len(value) >= _LENGTH_MIN:
            spoken = {value, repr(value)[1:-1]}
            written = (
                json.dumps(word, ensure_ascii=in_ascii)[1:-1]
                for word in spoken
                for in_ascii in (False, True)
            )
            _revealed.update(spoken, written)
        return value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return f"Secret({_MASK})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return format(_MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is not written anywhere.")


def redact(text: str) -> str:
    """Replace every secret that has been revealed in this process."""
    for word in sorted(_revealed, key=len, reverse=True):
        text = text.replace(word, _MASK)
    return text
