"""The program `softgrad` of a shell: it has the zygote fork a run, and waits for it."""

import json
import os
import socket
import sys


def ask(
    path: str, arguments: list[str], descriptors: list[int], **how: object
) -> tuple[socket.socket, int]:
    """Have the zygote fork a run; return the socket that will bring its status, and its number."""
    zygote = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    zygote.connect(path)
    request = json.dumps([how, arguments]).encode("utf-8", "surrogateescape")
    socket.send_fds(zygote, [request], descriptors)
    return zygote, int(zygote.recv(32))


if __name__ == "__main__":
    how = {"cwd": os.getcwd(), "env": dict(os.environ), "session": False, "before": ""}
    zygote, _ = ask(sys.argv[1], sys.argv[2:], [0, 1, 2], **how)
    sys.exit(os.waitstatus_to_exitcode(int(zygote.recv(32))))
