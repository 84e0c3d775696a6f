"""Many requests at once from one thread, with asyncio; a wrong one among them disturbs no other.

make up
make venv                                # .venv with the client; ENGINE=compose alone needs none
.venv/bin/python examples/async_requests.py
"""

import asyncio
import sys
import time

import numpy as np
from atelier_client import AsyncClient
from atelier_client.errors import InputError

REQUESTS = 64


async def main(target: str = "127.0.0.1:8500") -> None:
    """Send 64 requests together; the first one has images of a size that the model does not take."""
    images = list(np.random.default_rng(0).integers(0, 256, (REQUESTS, 1, 28, 28), np.uint8))
    images[0] = images[0][:, :20, :20]
    async with AsyncClient(target, "fashion", timeout=10) as client:
        await client.wait_ready(60)
        start = time.perf_counter()
        requests = (client.predict(image) for image in images)
        results = await asyncio.gather(*requests, return_exceptions=True)
        seconds = time.perf_counter() - start
    answers = [result for result in results if not isinstance(result, BaseException)]
    print(f"{len(answers)} requests in {seconds * 1000:.0f} ms, answered by version {answers[0].versions[0]}")
    for result in results:
        if isinstance(result, InputError):
            print(f"One was not sent: {result}")
        elif isinstance(result, BaseException):
            raise result


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
