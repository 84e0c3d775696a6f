"""The one HTTP client of all comparisons: keep-alive connections, each sending the next request when it has the answer.

python -m benchmarks.http_load HOST:PORT PATH BODY_FILE IN_FLIGHT SECONDS [HEADER: VALUE ..]
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path


def main(target: str, path: str, body_file: str, in_flight: str, seconds: str, *headers: str) -> None:
    """Print {"per_second", "p50", "p99", "failed"} as JSON; latencies in milliseconds."""
    body = Path(body_file).read_bytes()
    more = "".join(f"{header}\r\n" for header in headers)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{more}\r\n"
    )
    print(json.dumps(asyncio.run(_load(target, head.encode() + body, int(in_flight), float(seconds)))))


async def _load(target: str, request: bytes, in_flight: int, seconds: float) -> dict[str, float]:
    host, port = target.split(":")
    latencies: list[float] = []
    failed = 0
    # The first fifth is for warming up.
    begin = time.perf_counter() + seconds / 5
    end = begin + seconds

    async def connection() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, int(port))
        while (sent := time.perf_counter()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            await reader.readexactly(int(length))
            failed += head[9:12] != b"200"
            if sent >= begin:
                latencies.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*(connection() for _ in range(in_flight)))
    latencies.sort()
    return {
        "per_second": len(latencies) / seconds,
        "p50": latencies[len(latencies) // 2] * 1e3,
        "p99": latencies[len(latencies) * 99 // 100] * 1e3,
        "failed": failed,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
