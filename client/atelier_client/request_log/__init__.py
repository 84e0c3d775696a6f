"""Requests kept with their answers: reading the log that a server or a client has written, and writing one.

from atelier_client.request_log import read

for request in read("requests", model="reviews"):
    print(request.time, request.version, request.outputs["class_id"])
"""

from atelier_client.request_log.logged_request import LoggedRequest
from atelier_client.request_log.reader import read
from atelier_client.request_log.recorder import Recorder
from atelier_client.request_log.remarks import Remarks

__all__ = ["LoggedRequest", "Recorder", "Remarks", "read"]
