"""Name resolution: what is looked up when, what counts where the resolver does not answer, and who waits for it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from rproxy.controlplane.resolver import Address, Resolver, look_up

ONE: Address = (socket.AF_INET, ("192.0.2.1", 6379))
TWO: Address = (socket.AF_INET, ("192.0.2.2", 6379))


class Names:
    """A stand-in for the system's resolver: `answers` by name. It does not answer for names in `silent` until `speak`."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Address] | Exception] = {}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self._speaks = threading.Event()

    def look_up(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        if host in self.silent:
            self._speaks.wait(30)
        answer = self.answers[host]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def speak(self) -> None:
        self._speaks.set()


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.speak()


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a scenario on each of the event loops."""
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", (socket.AF_INET, ("127.0.0.1", 6379))), ("::1", (socket.AF_INET6, ("::1", 6379, 0, 0)))],
)
def test_an_address_is_its_own_answer_and_no_resolver_is_asked(names: Names, host: str, address: Address) -> None:
    assert asyncio.run(Resolver(names.look_up).addresses(host, 6379)) == [address]
    assert names.asked == []


def test_the_zone_of_an_address_is_part_of_it() -> None:
    index = socket.if_nametoindex("lo")
    assert asyncio.run(Resolver().addresses("fe80::1%lo", 6379)) == [(socket.AF_INET6, ("fe80::1", 6379, 0, index))]


def test_the_system_knows_names() -> None:
    assert (socket.AF_INET, ("127.0.0.1", 6379)) in look_up("localhost", 6379)


def test_a_name_is_looked_up_anew_each_time(names: Names, run: Callable[..., Any]) -> None:
    async def scenario() -> list[list[Address]]:
        resolver = Resolver(names.look_up)
        names.answers["redis.test"] = [ONE]
        first = list(await resolver.addresses("redis.test", 6379))
        names.answers["redis.test"] = [TWO]
        return [first, list(await resolver.addresses("redis.test", 6379))]

    assert run(scenario()) == [[ONE], [TWO]]


def test_where_the_resolver_does_not_answer_the_last_answer_counts(names: Names, run: Callable[..., Any]) -> None:
    async def scenario() -> list[Address]:
        resolver = Resolver(names.look_up, patience=0.01)
        names.answers["redis.test"] = [ONE]
        await resolver.addresses("redis.test", 6379)
        names.silent.add("redis.test")
        return list(await resolver.addresses("redis.test", 6379))

    assert run(scenario()) == [ONE]


def test_where_the_resolver_cannot_find_out_the_last_answer_counts(names: Names) -> None:
    async def scenario() -> list[Address]:
        resolver = Resolver(names.look_up)
        names.answers["redis.test"] = [ONE]
        await resolver.addresses("redis.test", 6379)
        names.answers["redis.test"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return list(await resolver.addresses("redis.test", 6379))

    assert asyncio.run(scenario()) == [ONE]


def test_the_last_answer_counts_for_a_while_where_a_name_is_said_not_to_be(names: Names) -> None:
    async def scenario() -> None:
        names.answers["redis.test"] = [ONE]
        resolver = Resolver(names.look_up, hold=0.3)
        assert await resolver.addresses("redis.test", 6379) == [ONE]
        names.answers["redis.test"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        assert await resolver.addresses("redis.test", 6379) == [ONE]
        names.answers["redis.test"] = [TWO]
        assert await resolver.addresses("redis.test", 6379) == [TWO]
        names.answers["redis.test"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        assert await resolver.addresses("redis.test", 6379) == [TWO]
        await asyncio.sleep(0.35)
        with pytest.raises(socket.gaierror):
            await resolver.addresses("redis.test", 6379)

    asyncio.run(scenario())


def test_a_name_that_is_no_more_has_no_address(names: Names) -> None:
    async def scenario() -> None:
        resolver = Resolver(names.look_up, hold=0.0)
        names.answers["redis.test"] = [ONE]
        await resolver.addresses("redis.test", 6379)
        names.answers["redis.test"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        with pytest.raises(socket.gaierror):
            await resolver.addresses("redis.test", 6379)
        names.answers["redis.test"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        with pytest.raises(socket.gaierror):
            await resolver.addresses("redis.test", 6379)

    asyncio.run(scenario())


def test_a_resolver_that_is_silent_for_many_names_delays_no_other(names: Names, run: Callable[..., Any]) -> None:
    silent = [f"silent{number}.test" for number in range(40)]
    names.silent.update(silent)
    names.answers |= dict.fromkeys([*silent, "redis.test"], [ONE])

    async def scenario() -> tuple[list[Address], list[list[Address]]]:
        resolver = Resolver(names.look_up)
        waiting = [asyncio.create_task(resolver.addresses(name, 6379)) for name in silent]
        await asyncio.sleep(0)
        other = list(await resolver.addresses("redis.test", 6379))
        assert not any(task.done() for task in waiting)
        names.speak()
        return other, [list(found) for found in await asyncio.gather(*waiting)]

    assert run(scenario()) == ([ONE], [[ONE]] * 40)


def test_all_who_want_a_name_share_one_look_up_and_none_ends_it_for_the_others(names: Names) -> None:
    names.silent.add("redis.test")
    names.answers["redis.test"] = [ONE]

    async def scenario() -> list[Address]:
        resolver = Resolver(names.look_up)
        impatient, patient = (asyncio.create_task(resolver.addresses("redis.test", 6379)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        names.speak()
        return list(await patient)

    assert asyncio.run(scenario()) == [ONE]
    assert names.asked == ["redis.test"]


def test_what_can_be_no_name_is_an_error_each_time() -> None:
    async def scenario() -> None:
        resolver = Resolver()
        for _ in range(2):
            with pytest.raises((OSError, UnicodeError)):
                await resolver.addresses("x" * 70 + ".test", 6379)

    asyncio.run(scenario())


def test_the_address_that_was_connected_to_comes_first_as_long_as_the_name_has_it(names: Names) -> None:
    async def scenario() -> list[list[Address]]:
        resolver = Resolver(names.look_up)
        names.answers["redis.test"] = [ONE, TWO]
        resolver.connected("redis.test", 6379, TWO)
        first = list(await resolver.addresses("redis.test", 6379))
        names.answers["redis.test"] = [ONE]
        return [first, list(await resolver.addresses("redis.test", 6379))]

    assert asyncio.run(scenario()) == [[TWO, ONE], [ONE]]


def test_where_no_thread_is_left_that_is_this_sides_trouble(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        resolver = Resolver(names.look_up)
        names.answers["redis.test"] = [ONE]
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            with pytest.raises(OSError, match="Cannot allocate memory"):
                await resolver.addresses("redis.test", 6379)
        assert list(await resolver.addresses("redis.test", 6379)) == [ONE]

    asyncio.run(scenario())


def test_a_look_up_that_hangs_does_not_keep_the_process_from_ending(names: Names) -> None:
    """It runs in none of the loop's own threads, for which `asyncio.run` would wait."""
    names.silent.add("redis.test")

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await Resolver(names.look_up).addresses("redis.test", 6379)

    asyncio.run(scenario())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "resolver redis.test"]
    assert thread.daemon


def test_an_address_to_avoid_is_tried_after_all_others(names: Names) -> None:
    names.answers["redis"] = [ONE, TWO]
    resolver = Resolver(names.look_up)
    resolver.connected("redis", 6379, ONE)
    resolver.avoid("redis", 6379)
    assert asyncio.run(resolver.addresses("redis", 6379)) == [TWO, ONE]


def test_when_every_address_is_to_be_avoided_the_first_one_is_tried_again(names: Names) -> None:
    names.answers["redis"] = [ONE, TWO]
    resolver = Resolver(names.look_up)
    for address in (ONE, TWO):
        resolver.connected("redis", 6379, address)
        resolver.avoid("redis", 6379)
    assert asyncio.run(resolver.addresses("redis", 6379)) == [TWO, ONE]  # the last one that took a connection
    resolver.avoid("redis", 6379)
    assert asyncio.run(resolver.addresses("redis", 6379)) == [ONE, TWO]


def test_it_tells_whether_a_name_still_has_an_address(names: Names) -> None:
    names.answers["redis"] = [ONE]
    resolver = Resolver(names.look_up)
    assert asyncio.run(resolver.has("redis", 6379, "192.0.2.1"))
    assert not asyncio.run(resolver.has("redis", 6379, "192.0.2.2"))


def test_a_name_that_can_not_be_looked_up_has_the_address_that_it_had(names: Names) -> None:
    names.answers["redis"] = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert asyncio.run(Resolver(names.look_up).has("redis", 6379, "192.0.2.2"))


def test_an_address_has_itself(names: Names) -> None:
    assert asyncio.run(Resolver(names.look_up).has("127.0.0.1", 6379, "127.0.0.1")) and names.asked == []
