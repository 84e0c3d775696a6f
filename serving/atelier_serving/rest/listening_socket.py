"""A listening socket that is about to close: who has connected is served, nobody new gets in."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct

# linux/filter.h and asm-generic/socket.h; Python has no name for the option.
_SO_ATTACH_FILTER = 26
_FLAGS_OF_TCP = 13
_SYN = 0x02
_SYN_OR_ACK = 0x12
# Classic BPF, (code, jump when true, jump when false, value): drop a packet with SYN and without ACK, pass any other.
_WITHOUT_SYN = (
    (0x30, 0, 0, _FLAGS_OF_TCP),  # load a byte of the TCP header
    (0x54, 0, 0, _SYN_OR_ACK),  # and
    (0x15, 0, 1, _SYN),  # equal?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # pass
)


def refuse_connections(listening: socket.socket) -> None:
    """Let no new connection in; those that wait to be accepted still can be.

    A backlog of 0 alone does not do: Linux lets one more connection wait, and another after each that is accepted.
    Closing the socket would reset it. A client whose SYN is dropped sends it again after a second, when the port is
    closed or another server's.
    """
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in _WITHOUT_SYN)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("HP", len(_WITHOUT_SYN), ctypes.addressof(buffer))
    # Systems other than Linux have no such option: there one connection may still be reset.
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    listening.listen(0)
