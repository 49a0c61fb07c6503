"""redis-py 8 as its users use it, synchronous and asynchronous, in both RESP versions: nothing tells it that
rproxy isn't a server.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually

pytestmark = pytest.mark.parametrize("protocol", [2, 3])


def client(proxy: Proxy, protocol: int, **options: Any) -> Any:
    return redis.Redis(port=proxy.port, protocol=protocol, decode_responses=True, **options)


def test_the_usual_types_come_back(strict: Proxy, protocol: int) -> None:
    with client(strict, protocol) as r:
        assert r.set("s", "v", ex=100)
        assert (r.get("s"), r.get("nothing"), r.ttl("s") > 90) == ("v", None, True)
        assert r.hset("h", mapping={"a": 1, "b": 2}) == 2
        assert r.hgetall("h") == {"a": "1", "b": "2"}
        assert r.rpush("l", "a", "b") == 2
        assert r.lrange("l", 0, -1) == ["a", "b"]
        assert r.zadd("z", {"one": 1.5}) == 1
        assert r.zscore("z", "one") == 1.5
        assert r.sadd("st", "x") == 1
        assert r.smembers("st") == {"x"}
        assert r.xadd("x", {"f": "v"}, id="1-1") == "1-1"
        assert r.info("replication")["role"] == "master"
        assert r.eval("return {KEYS[1], ARGV[1]}", 1, "k", "a") == ["k", "a"]
        assert sorted(r.scan_iter("*")) == ["h", "l", "s", "st", "x", "z"]
        assert r.register_script("return redis.call('INCR', KEYS[1])")(keys=["n"]) == 1


def test_errors_are_raised_as_the_servers_own(strict: Proxy, protocol: int) -> None:
    with client(strict, protocol) as r:
        r.lpush("l", "x")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            r.incr("l")
        with pytest.raises(redis.ResponseError, match="unknown command"):
            r.execute_command("NOSUCH")


def test_a_name_and_a_database_are_honoured(strict: Proxy, servers: Cluster, protocol: int) -> None:
    with client(strict, protocol, client_name="tester", db=3) as r, client(strict, protocol) as other:
        r.set("where", "in3")
        assert r.client_getname() == "tester"
        assert (r.get("where"), other.get("where")) == ("in3", None)
        assert r.client_id() != other.client_id()
    assert servers.leader.info("keyspace")["db3"].startswith("keys=1,")


def test_pipelines_and_transactions_work(strict: Proxy, protocol: int) -> None:
    with client(strict, protocol) as r:
        with r.pipeline(transaction=True) as pipe:
            assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
        with r.pipeline(transaction=False) as pipe:
            for number in range(500):
                pipe.rpush("l", number)
            assert pipe.execute() == list(range(1, 501))


def test_an_optimistic_lock_sees_the_conflict(proxy: Proxy, protocol: int) -> None:
    with client(proxy, protocol) as r, client(proxy, protocol) as other, r.pipeline() as pipe:
        pipe.watch("a")
        assert pipe.get("a") is None
        other.set("a", "changed")
        pipe.multi()
        pipe.set("a", "mine")
        with pytest.raises(redis.WatchError):
            pipe.execute()
        assert pipe.transaction is not None


def test_a_transaction_function_counts_every_increment(proxy: Proxy, protocol: int) -> None:
    def bump(pipe: Any) -> None:
        now = int(pipe.get("n") or 0)
        pipe.multi()
        pipe.set("n", now + 1)

    def work() -> None:
        with client(proxy, protocol) as r:
            for _ in range(20):
                r.transaction(bump, "n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with client(proxy, protocol) as r:
        assert r.getset("n", 0) == "80"


def test_a_lock_excludes(proxy: Proxy, protocol: int) -> None:
    with client(proxy, protocol) as r, r.lock("lock", timeout=10):
        assert not r.lock("lock").acquire(blocking=False)


def test_a_blocking_pop_is_served(proxy: Proxy, servers: Cluster, protocol: int) -> None:
    got: list[Any] = []
    with client(proxy, protocol) as r, client(proxy, protocol) as waiting:
        thread = threading.Thread(target=lambda: got.append(waiting.blpop(["q"], timeout=10)))
        thread.start()
        eventually(servers.leader.blocked_clients, "the leader blocks it")
        r.rpush("q", "x")
        thread.join(10)
    assert [list(item) for item in got] == [["q", "x"]]


def test_asyncio_clients_share_a_pool(proxy: Proxy, servers: Cluster, protocol: int) -> None:
    async def work() -> None:
        options: Any = {"port": proxy.port, "protocol": protocol, "decode_responses": True, "client_name": "async", "db": 3}
        client: Any = redis.asyncio.Redis(**options)
        async with client as r:
            assert await r.client_getname() == "async"
            assert await asyncio.gather(*(r.incr(f"n{number}") for number in range(50))) == [1] * 50
            async with r.pipeline(transaction=True) as pipe:
                assert await pipe.set("a", "v").get("a").execute() == [True, "v"]
            assert await r.blpop(["nothing"], timeout=0.05) is None

    asyncio.run(work())


def test_a_cancelled_asyncio_command_spoils_nobodys_reply(proxy: Proxy, servers: Cluster, protocol: int) -> None:
    servers.leader.call("MSET", *(word for number in range(20) for word in (f"k{number}", f"v{number}")))
    servers.settle()

    async def work() -> None:
        options: Any = {"port": proxy.port, "protocol": protocol, "decode_responses": True}
        client: Any = redis.asyncio.Redis(**options)
        async with client as r:
            for number in range(100):
                task: Any = asyncio.create_task(r.get(f"k{number % 20}"))
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert await r.get(f"k{(number + 1) % 20}") == f"v{(number + 1) % 20}"

    asyncio.run(work())
