"""Mutual TLS: the server shows a certificate to its clients, and lets in only clients that show theirs.

    make up ENGINE=local                  # once: the model in models/, and .venv
    examples/mutual_tls/make_certificates.sh keys
    .venv/bin/atelier-serving --model_name=fashion --model_base_path=$PWD/models/fashion --port=9500 \\
        --ssl_config_file=keys/ssl.config &
    .venv/bin/python examples/mutual_tls/ask.py keys localhost:9500
    .venv/bin/atelier-client status --target localhost:9500 \\
        --ca keys/ca.pem --cert keys/client.pem --key keys/client.key
"""

import sys
from pathlib import Path

from atelier_client import TLS, Client, ClientError, Retry


def main(keys: str, target: str = "localhost:9500") -> None:
    """Ask with the client's certificate, then without one."""
    folder = Path(keys)
    tls = TLS(ca=folder / "ca.pem", cert=folder / "client.pem", key=folder / "client.key")
    with Client(target, "fashion", tls=tls) as client:
        print(f"With a certificate: version {client.wait_ready(60)} answers.")
    with Client(target, "fashion", tls=TLS(ca=folder / "ca.pem"), retry=Retry(attempts=1)) as stranger:
        try:
            stranger.status()
        except ClientError as error:
            print(f"Without one: {error}")
        else:
            sys.exit("The server lets in clients without a certificate.")


if __name__ == "__main__":
    main(*sys.argv[1:])
