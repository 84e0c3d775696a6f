"""A typed TensorFlow Serving client without TensorFlow.

from atelier_client import Client

with Client("127.0.0.1:8500", "fashion") as client:
    print(client.predict(images)["label"])
"""

from atelier_client.async_client import AsyncClient
from atelier_client.client import Client
from atelier_client.core import Prediction, State, VersionStatus
from atelier_client.errors import ClientError
from atelier_client.signature import Signature, TensorSpec

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Prediction",
    "Signature",
    "State",
    "TensorSpec",
    "VersionStatus",
]
