"""`python -m bench`: choose proxies and loads, run the rounds, write the results.

Called by `make bench`. It must never measure by itself, and it says which peers it did not find and how to
get them.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import chart, facts, generator, load, report
from bench.peers import Peer, Rproxy, others
from bench.rounds import DIRECT, Bench, Outcome, run_all
from rproxy.embedded import EmbeddedError, started_cluster

RESULTS = Path(__file__).parent / "results"
QUICK_SCALE = 0.4
QUICK_ROUNDS = 2
ROUNDS = 3


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; `--help` says them."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="rproxy beside its peers: CPU per command, speed, latency, memory."
    )
    parser.add_argument("--quick", action="store_true", help=f"three loads, {QUICK_ROUNDS} rounds, under a minute")
    parser.add_argument("--rounds", type=positive, help=f"how many rounds; the medians are shown (default {ROUNDS})")
    parser.add_argument(
        "--loads", nargs="+", default=[], metavar="KEY", help="only these loads, for example get-100b-c50-p1 or 'get-*-c50-*'"
    )
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="NAME", help="only these peers, rproxy always; `none` for rproxy alone"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the count of commands of each load")
    parser.add_argument("--interpreted", action="store_true", help="a second row of rproxy with the data plane interpreted")
    parser.add_argument(
        "--rproxy-env",
        action="append",
        default=[],
        metavar="KEY=VALUE[,...]",
        help="a further row of rproxy with this environment",
    )
    parser.add_argument("--without-rproxy", action="store_true", help="the peers alone")
    parser.add_argument("--list", action="store_true", help="print the loads and what was found, and run nothing")
    parser.add_argument("--name", help="name of the files in bench/results (default full, quick or selection)")
    return parser.parse_args(words)


def positive(text: str) -> int:
    """A whole number from 1 on. Raises ValueError, which argparse tells with the option's name."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def chosen_loads(options: argparse.Namespace) -> list[load.Load]:
    """The loads that the options ask for. Raises ValueError."""
    scale = options.scale * (QUICK_SCALE if options.quick else 1.0)
    return load.select(load.matrix(scale), options.loads or (load.QUICK if options.quick else ()))


def chosen_peers(options: argparse.Namespace) -> list[Peer]:
    """The proxies that the options ask for, found or not. Raises ValueError."""
    ours: list[Peer] = [] if options.without_rproxy else [Rproxy()]
    if options.interpreted:
        ours.append(Rproxy("rproxy (interpreted)", {"RPROXY_INTERPRETED": "1"}))
    for given in options.rproxy_env:
        pairs = [pair.partition("=") for pair in given.split(",")]
        if not all(key and sign for key, sign, _ in pairs):
            raise ValueError(f"--rproxy-env wants KEY=VALUE, not {given}")
        ours.append(Rproxy(f"rproxy ({given})", {key: value for key, _, value in pairs}))
    known = {peer.name.lower(): peer for peer in others()}
    for name in options.peers:
        if name.lower() not in (*known, "none"):
            raise ValueError(f"there is no peer {name}; the peers are {', '.join(known)}")
    wanted = [name.lower() for name in options.peers]
    return [*ours, *(peer for name, peer in known.items() if not wanted or name in wanted)]


def found_among(peers: Sequence[Peer]) -> list[tuple[Peer, str]]:
    """The peers that are on this machine, with their programs; how to get the others goes to stderr."""
    found = []
    for peer in peers:
        binary = peer.binary()
        if binary:
            found.append((peer, binary))
            if isinstance(peer, Rproxy) and not peer.environment and not peer.compiled():
                tell("rproxy's data plane is not compiled here, so its row is the interpreted one (make build)")
        else:
            tell(f"{peer.name} is not here, so it has no row ({peer.install})")
    return found


def tell(line: str) -> None:
    """Progress, beside the report on stdout."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def write(described: dict[str, dict[str, str]], outcome: Outcome, rounds: int, name: str) -> None:
    """The report on stdout; the same, the JSON and the picture in bench/results."""
    RESULTS.mkdir(exist_ok=True)
    picture = RESULTS / f"{name}.png"
    try:
        chart.draw(outcome, picture)
    except ImportError:
        tell("no picture: matplotlib is missing (pip install matplotlib)")
        picture.unlink(missing_ok=True)
    text = report.markdown(described, outcome, rounds, picture.name if picture.exists() else "")
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.json").write_text(json.dumps(report.results(described, outcome, rounds), indent=1) + "\n")
    print(text)
    tell(f"written: {name}.md, {name}.json{', ' + picture.name if picture.exists() else ''} in bench/results")


def measured(options: argparse.Namespace, binary: str, loads: Sequence[load.Load], peers: list[tuple[Peer, str]]) -> bool:
    """Run it all and write what came out, also after Ctrl-C. True if nothing went wrong."""
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    outcome = Outcome()
    machine = facts.machine()
    with started_cluster(replicas=2) as servers:
        described = {"Machine": machine, "Versions": facts.versions(servers[0], binary, peers)}
        try:
            run_all(Bench(servers, peers, binary, rounds, tell), loads, outcome)
        except (KeyboardInterrupt, EmbeddedError) as end:
            outcome.problems.append(f"stopped early: {str(end) or 'interrupted'}")
    if any(outcome.samples[one.key][DIRECT] for one in outcome.loads):
        write(
            described, outcome, rounds, options.name or ("selection" if options.loads else "quick" if options.quick else "full")
        )
    for problem in outcome.problems:
        tell(problem)
    return not outcome.problems


def main(words: Sequence[str] | None = None) -> int:
    """Exit code 0 if all was measured, 1 if something went wrong on the way, 2 for wrong options or a missing
    load generator.
    """
    options = arguments(words)
    binary = generator.find()
    if not binary:
        tell(generator.INSTALL)
        return 2
    try:
        loads, peers = chosen_loads(options), found_among(chosen_peers(options))
    except ValueError as problem:
        tell(str(problem))
        return 2
    if options.list:
        print("\n".join([*(one.key for one in loads), *(f"{peer.name} {peer.version(path)}" for peer, path in peers)]))
        return 0
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # HAProxy needs two files for each of 500 clients
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and proxies end with the benchmark
    return 0 if measured(options, binary, loads, peers) else 1


if __name__ == "__main__":
    sys.exit(main())
