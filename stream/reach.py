"""Wait for a broker to answer, so that a missing one is a sentence and not a crash."""

import asyncio

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from detectors.errors import ServiceUnreachable

__all__ = ["reach"]

_PAUSE_SECONDS = 0.5


async def reach(bootstrap: str, timeout_seconds: float) -> None:
    """Return once a broker at `bootstrap` answers; raise ServiceUnreachable after the time."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_seconds
    while True:
        client = AIOKafkaClient(bootstrap_servers=bootstrap)
        try:
            await client.bootstrap()
        except (KafkaError, OSError) as error:
            if clock() > deadline:
                raise ServiceUnreachable(
                    f"Kafka does not answer at {bootstrap} (asked for {timeout_seconds:g} s): "
                    f"start it, for one machine with 'driftline kafka start', or correct "
                    f"kafka.bootstrap."
                ) from error
        else:
            return
        finally:
            await client.close()
        await asyncio.sleep(_PAUSE_SECONDS)
