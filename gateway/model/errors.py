# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that goes wrong, by two questions: is it worth another try, and whose fault is it.

```
GatewayError
├─ ConfigError             stop at start-up, name file, key, line and mend
├─ BridgeError
│  ├─ TransientError       try again, after `retry_after_s` if the network said so
│  │  ├─ LinkDown          port or server gone: the supervisor reconnects; costs no attempt
│  │  ├─ NotThere          the conversation doesn't exist (yet): waiting; costs no attempt
│  │  ├─ RateLimited       429, full transmit queue, duty cycle; costs no attempt
│  │  └─ Unconfirmed       no answer: it may have gone out, so the same key is used again
│  ├─ PermanentError       dead letter now
│  │  ├─ Rejected          this message: too big, forbidden
│  │  └─ AuthFailed        this bridge: it stops, the others go on, the status says so
│  └─ ProtocolError        the network sent nonsense: count, log once a kind, skip
├─ JournalError            the box's own record can't be written or read
├─ Declined                somebody asked at the desk for what isn't granted or makes no sense
└─ OutboxError
   ├─ StoreUnavailable     Redis is away, refuses, or is full: keep it in the journal, try again
   ├─ StoreRefused         a server that can't be trusted with a queue: too old, evicting, alien
   └─ LeaseLost            another gateway holds this destination now
```

A bridge turns its library's errors into these at one edge, by type or status code, never by the
words of a message. The text of every error is a reason a person can read.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Anything the gateway itself raises."""


class ConfigError(GatewayError):
    """The configuration can't be used.

    `key` is the dotted path of the offending key (``bridges.radio.connection``), relative to the
    table that was given to whoever raises it; `mend` says what to write instead.
    """

    def __init__(self, reason: str, *, key: str = "", mend: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key
        self.mend = mend


class BridgeError(GatewayError):
    """Something went wrong between a bridge and its network."""


class TransientError(BridgeError):
    """Try again.

    `retry_after_s`: how long the network asked us to wait, if it did. `fresh_key`: the network
    recorded the key before it refused, so the next try needs a key of the next generation.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None, fresh_key: bool = False) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.fresh_key = fresh_key


class LinkDown(TransientError):
    """The port or the server is gone; the supervisor reconnects."""


class NotThere(TransientError):
    """The channel or room isn't there, or the bridge isn't in it: the route waits."""


class RateLimited(TransientError):
    """The network asked for patience: 429, a full transmit queue, the duty cycle.

    `for_all`: it meant everything that we send there, not this conversation alone.
    """

    def __init__(
        self, reason: str, *, retry_after_s: float | None = None, fresh_key: bool = False, for_all: bool = False
    ) -> None:
        super().__init__(reason, retry_after_s=retry_after_s, fresh_key=fresh_key)
        self.for_all = for_all


class Unconfirmed(TransientError):
    """No answer came; it may have gone out."""


class PermanentError(BridgeError):
    """Trying again would change nothing."""


class Rejected(PermanentError):
    """The network will never take this message."""


class AuthFailed(PermanentError):
    """The network refused our login; only the operator can mend that."""


class ProtocolError(BridgeError):
    """The network sent something its own rules forbid."""


class JournalError(GatewayError):
    """The journal can't be written or read: disk full, read-only, damaged."""


class Declined(GatewayError):
    """What somebody asked for in a chat was not done; the text says why, to them."""


class Full(Declined):
    """There are as many as may be: one more takes the end of another."""


class OutboxError(GatewayError):
    """The queue could not do what was asked."""


class StoreUnavailable(OutboxError):
    """The queue's server is away or can't write; what is journalled waits there."""


class StoreRefused(OutboxError):
    """The queue's server is one we must not use; the text says why and the mend."""


class LeaseLost(OutboxError):
    """Another holder has this destination now; whatever we held is theirs."""
