"""How long each step of a stop may take, in seconds. A container engine kills a container 10 s after its SIGTERM."""

from __future__ import annotations

# New requests are answered with UNAVAILABLE for this long before gRPC's own stop, which gives them CANCELLED.
REFUSE_SECONDS = 0.3
# Requests in flight have this long.
DRAIN_SECONDS = 8.0
# A supervisor kills its workers after this; each worker ends itself as well, should its supervisor be gone.
STOP_SECONDS = 9.5
# uvicorn closes connections whose clients do not.
CONNECTION_SECONDS = 10
