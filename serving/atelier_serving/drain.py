"""How long each step of a stop may take, in seconds. A container engine kills a container 10 s after its SIGTERM."""

from __future__ import annotations

# For so long new requests get UNAVAILABLE. Then gRPC stops, and from then on they get CANCELLED.
REFUSE_SECONDS = 0.3
# Requests in flight have so much time to end.
DRAIN_SECONDS = 8.0
# After this a supervisor kills its workers. A worker also ends itself, in case its supervisor is dead.
STOP_SECONDS = 9.5
# After this uvicorn closes connections that their clients have not closed.
CONNECTION_SECONDS = 10
