"""The commands that serve: harvests and the lab on a page in the browser, and the lab to other people's agents."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output
from unweave.base.terminal import one_line
from unweave.cli.lab_shared import open_lab
from unweave.cli.shared import Command


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "harvests",
        metavar="HARVEST",
        nargs="*",
        type=Path,
        help="its folder, or a finished run that can be asked about, such as one of predict-preferences (default: "
        "every *.harvest found here); such runs of the lab are shown anyway",
    )
    _address_options(parser, 8765)
    parser.add_argument(
        "--open",
        action="store_true",
        help="show the page in the browser (whose command line, with the token, other users of this machine can see)",
    )
    parser.add_argument(
        "--no-jobs", action="store_true", help="start no jobs of the lab's queue: another process does, or nobody shall"
    )


def _address_options(parser: argparse.ArgumentParser, port: int) -> None:
    parser.add_argument("--port", type=_port, default=port, help=f"0 takes any that is free (default: {port})")
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
    parser.add_argument("--log", action="store_true", help="write a line for each request to standard error")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _serve(args: argparse.Namespace) -> Output:
    from unweave.server.serve import prepare

    service = prepare(
        args.harvests, args.host, args.port, args.trusted_host, args.token_file, args.runs, not args.no_jobs
    )
    listed = [{"id": name, "title": subject.title} for name, subject in service.subjects.items()]
    lines = [one_line(f"{each['id']}: {each['title']}") for each in listed]
    shown = f"the lab in {args.runs}" if service.lab is not None else f"no lab ({service.without_lab})"
    lines += [one_line(shown), "", service.url, "Ctrl-C ends it."]

    def go_on() -> int:
        if args.open:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(service.url,), daemon=True).start()
        return service.run(log=args.log)

    lab = str(args.runs) if service.lab is not None else None
    return Output({"url": service.url, "subjects": listed, "lab": lab}, lines, then=go_on)


def _mcp_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-writes",
        metavar="SCOPE",
        nargs="?",
        const="run",
        default="none",
        choices=("run", "review"),
        help="also offer tools that change something: run (start, stop, note, conclude; the default when the flag is "
        "given alone), or review (approve plans and judge threads too)",
    )
    parser.add_argument(
        "--http", action="store_true", help="serve streamable HTTP instead of standard input and output"
    )
    _address_options(parser, 8766)


def _mcp(args: argparse.Namespace) -> Output:
    if args.http:
        from unweave.server.mcp_http import prepare_mcp

        service, token = prepare_mcp(
            args.runs, args.allow_writes, args.host, args.port, args.trusted_host, args.token_file
        )
        lines = [service.url, f"Authorization: Bearer {token}", "Ctrl-C ends it."]
        value = {"url": service.url, "token": token, "allow_writes": args.allow_writes}
        return Output(value, lines, then=lambda: service.run(log=args.log))
    if args.json:
        raise UnweaveError("--json is for --http: without it standard output speaks the protocol")
    from unweave.server.mcp import serve_stdio

    lab = open_lab(args, make=True)
    return Output({}, [], then=lambda: serve_stdio(lab, args.allow_writes))


COMMANDS = {
    "serve": Command(
        _serve, "show harvests, runs and the lab on a page in the browser, for this machine only", _serve_options
    ),
    "mcp": Command(_mcp, "offer the lab to your own agent, as tools over the Model Context Protocol", _mcp_options),
}
