"""A typed TensorFlow Serving client without TensorFlow.

from atelier_client import Client

with Client("127.0.0.1:8500", "shoes") as client:
    print(client.predict(images)["label"])

The names exported here, `atelier_client.errors`, `atelier_client.request_log` and `atelier_client.testing` are public
(docs/client.md lists them). Modules that begin with an underscore, and the other packages, are internal.
"""

from atelier_client.async_client import AsyncClient
from atelier_client.client import Client
from atelier_client.errors import ClientError
from atelier_client.model_config import ServedModel
from atelier_client.responses import Prediction, State, VersionStatus
from atelier_client.retry import Retry
from atelier_client.routing.async_router import AsyncRouter
from atelier_client.routing.router import Router
from atelier_client.routing.statistics import LabelStatistics, VersionStatistics
from atelier_client.signature import Signature, TensorInfo
from atelier_client.tls import TLS

__version__ = "0.1.0"
__all__ = [
    "TLS",
    "AsyncClient",
    "AsyncRouter",
    "Client",
    "ClientError",
    "LabelStatistics",
    "Prediction",
    "Retry",
    "Router",
    "ServedModel",
    "Signature",
    "State",
    "TensorInfo",
    "VersionStatistics",
    "VersionStatus",
    "__version__",
]
