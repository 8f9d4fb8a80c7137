"""A bucket of Google Cloud Storage on this machine: gcp-storage-emulator, in memory, and how to reach it."""

import contextlib
import socket
from collections.abc import Iterator

from gcp_storage_emulator.server import create_server

NAME = "bucket"


@contextlib.contextmanager
def emulated_bucket() -> Iterator[dict[str, str]]:
    """Gives the environment in which gs://bucket is the emulated one, for gcsfs and for tensorstore."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=NAME)
    server.start()
    url = f"http://127.0.0.1:{port}"
    try:
        yield {
            "STORAGE_EMULATOR_HOST": url,
            "TENSORSTORE_GCS_HTTP_URL": url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
            # gcsfs would ask another service, which is not emulated, what kind of bucket it is.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }
    finally:
        server.stop()
