"""The command that shows harvests on a page in the browser."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.shared import Command


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "harvests", metavar="HARVEST", nargs="*", type=Path, help="its folder (default: every *.harvest found here)"
    )
    parser.add_argument("--port", type=_port, default=8765, help="0 takes any that is free (default: 8765)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument(
        "--trusted-host",
        metavar="NAME",
        action="append",
        default=[],
        help="another name that browsers may show: NAME, NAME:PORT for a forwarded port, or https://NAME for a proxy "
        "with TLS; repeat it for more",
    )
    parser.add_argument(
        "--token-file", metavar="FILE", type=Path, help="keep the token in this file, made where it is missing"
    )
    parser.add_argument(
        "--open",
        action="store_true",
        help="show the page in the browser (whose command line, with the token, other users of this machine can see)",
    )
    parser.add_argument("--log", action="store_true", help="write a line for each request to standard error")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _serve(args: argparse.Namespace) -> Output:
    from unweave.server.serve import prepare

    service = prepare(args.harvests, args.host, args.port, args.trusted_host, args.token_file)
    listed = [{"id": name, "title": subject.title} for name, subject in service.subjects.items()]
    lines = [*(one_line(f"{each['id']}: {each['title']}") for each in listed), "", service.url, "Ctrl-C ends it."]

    def go_on() -> int:
        if args.open:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(service.url,), daemon=True).start()
        return service.run(log=args.log)

    return Output({"url": service.url, "subjects": listed}, lines, then=go_on)


COMMANDS = {"serve": Command(_serve, "show harvests on a page in the browser, for this machine only", _serve_options)}
