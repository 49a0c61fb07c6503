"""Every way to write that an application may use, with reads that must show it: for each, what was there before, what is written, what is read.

Used by `test_writes`. The commands of a case are separated by semicolons; `x*300000` stands for so many letters. Every reply must depend on nothing but
the commands before it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    before: str
    write: str
    read: str

    @staticmethod
    def commands(text: str) -> list[str]:
        return [line.strip() for line in text.split(";") if line.strip()]


_FUNCTION = (
    "#!lua name=lib\\nredis.register_function{{function_name='f', callback=function() return {} end, flags={{'no-writes'}}}}"
)


def _library(answer: int) -> str:
    """As one quoted word."""
    return '"' + _FUNCTION.format(answer).replace("\\n", "\n") + '"'


CASES: dict[str, Case] = {
    "a string": Case(
        "SET k old; SET other o", "SET k newer", "GET k; STRLEN k; GETRANGE k 0 -1; SUBSTR k 0 1; LCS k other; TYPE k"
    ),
    "one fresh and one old key": Case(
        "MSET k old other o", "SET k new", "MGET k other; MGET other k; EXISTS k other; MGET other k other"
    ),
    "several strings": Case("MSET a 1 b 2 c 3", "MSET a 10 c 30", "GET a; GET b; GET c; MGET a b c"),
    "a new key": Case("SET other o", "SET k 1", "EXISTS k; GET k; TTL k; TYPE k; DUMP k"),
    "a new key among all": Case("SET other o", "SET k 1", "DBSIZE"),
    "a new key among their names": Case("SET other o", "SET k 1", "KEYS *; KEYS k"),
    "Django's incr": Case("", "SET n 1; EXISTS n; INCRBY n 5", "EXISTS n; GET n"),
    "a counter": Case("SET n 1", "INCR n; DECRBY n 11; INCRBYFLOAT n 0.5", "GET n"),
    "parts of a string": Case("SET k old", "APPEND k er; SETRANGE k 0 A", "GET k; STRLEN k"),
    "bits": Case(
        "SETBIT b 1 1", "SETBIT b 7 1; BITFIELD b INCRBY u8 8 3", "GETBIT b 7; BITCOUNT b; BITPOS b 0; BITFIELD_RO b GET u8 8"
    ),
    "a write that also reads": Case("SET k old; SET gone x", "GETSET k new; GETDEL gone", "GET k; EXISTS gone"),
    "a deleted key": Case("MSET k old other o", "DEL k", "GET k; EXISTS k; TYPE k; TTL k"),
    "an unlinked key": Case("RPUSH k a b", "UNLINK k", "LLEN k; LRANGE k 0 -1"),
    "a hash": Case(
        "HSET h f old g 1",
        "HSET h f new; HDEL h g; HINCRBY h n 4",
        "HGET h f; HGETALL h; HMGET h f g n; HLEN h; HEXISTS h g; HKEYS h; HVALS h; HSTRLEN h f; HSCAN h 0",
    ),
    "a list": Case("RPUSH l a b c", "LPUSH l z; LSET l 1 A; RPOP l", "LRANGE l 0 -1; LLEN l; LINDEX l 0; LPOS l A"),
    "a moved element": Case("RPUSH l a b c; RPUSH m x", "LMOVE l m LEFT RIGHT", "LRANGE l 0 -1; LRANGE m 0 -1"),
    "a popped element": Case("RPUSH l a b c; ZADD z 1 a 2 b", "LMPOP 1 l RIGHT; ZMPOP 1 z MIN", "LRANGE l 0 -1; ZRANGE z 0 -1"),
    "a set": Case("SADD s a b", "SADD s c; SREM s a", "SMEMBERS s; SISMEMBER s c; SMISMEMBER s a c; SCARD s"),
    "sets together": Case("SADD s a b; SADD t b c", "SMOVE s t a", "SINTER s t; SUNION s t; SDIFF t s; SINTERCARD 2 s t"),
    "a sorted set": Case(
        "ZADD z 1 a 2 b",
        "ZADD z 9 a; ZINCRBY z 5 c; ZREM z b",
        "ZSCORE z a; ZRANGE z 0 -1 WITHSCORES; ZRANK z a; ZCARD z; ZCOUNT z 1 9; ZMSCORE z a b c; ZRANGEBYSCORE z 5 9",
    ),
    "sorted sets together": Case("ZADD z 1 a; ZADD y 2 b", "ZADD y 3 a", "ZUNION 2 z y WITHSCORES; ZINTER 2 z y; ZDIFF 2 z y"),
    "a stream": Case(
        "XADD x 1-1 f v",
        "XADD x 2-1 f w; XDEL x 1-1",
        "XLEN x; XRANGE x - +; XREVRANGE x + -; XREAD COUNT 5 STREAMS x 0; XINFO STREAM x",
    ),
    "a consumer group": Case(
        "XADD x 1-1 f v; XADD x 2-1 f w; XGROUP CREATE x g 0",
        "XREADGROUP GROUP g c COUNT 1 STREAMS x >",
        "XPENDING x g",
    ),
    "a place": Case(
        "GEOADD g 13.36 38.11 Palermo", "GEOADD g 15.08 37.50 Catania", "GEOPOS g Catania; GEODIST g Palermo Catania"
    ),
    "a count of what differs": Case("PFADD p a b c", "PFADD p d e f g h", "PFCOUNT p"),
    "MULTI and EXEC": Case(
        "MSET a 1 b 2; HSET h f old", "MULTI; INCR a; SET b 20; HSET h f new; EXEC", "GET a; MGET b a; HGET h f"
    ),
    "MULTI over all keys": Case("SET k old", "MULTI; FLUSHDB; SET j 1; EXEC", "GET k; GET j; KEYS *"),
    "MULTI with a script": Case("SET k old", "MULTI; EVAL \"redis.call('SET', 'k', 'new')\" 0; EXEC", "GET k"),
    "WATCH, then MULTI": Case("SET k 1", "WATCH k; GET k; MULTI; INCR k; EXEC", "GET k"),
    "a write while watching": Case("SET k 1", "WATCH other; SET k 2; UNWATCH", "GET k"),
    "a script with its keys": Case(
        "SET k old; SET l old", "EVAL \"return redis.call('SET', KEYS[1], ARGV[1])\" 1 k new", "GET k; MGET l k"
    ),
    "a script without keys": Case("SET k old", "EVAL \"return redis.call('SET', 'k', 'new')\" 0", "GET k"),
    "a script that writes another key than its own": Case(
        "SET k old; SET l old",
        "EVAL \"redis.call('SET', KEYS[1], 'x') return redis.call('SET', 'k', 'new')\" 1 l",
        "GET k; GET l",
    ),
    "a script by its digest that writes another key than its own": Case(
        "SET k old; SET l old",
        "SCRIPT LOAD \"redis.call('SET', KEYS[1], 'x') return redis.call('SET', 'k', 'new')\"; EVALSHA d459d40c6e6c0753d17ef53c2406019bee0e5cfe 1 l",
        "GET k; GET l",
    ),
    "a script that reads another key than its own": Case(
        "SET k old; SET l old", "SET k new", "EVAL_RO \"return redis.call('GET', 'k')\" 1 l"
    ),
    "a script that fails after it wrote": Case("SET k old", "EVAL \"redis.call('SET', KEYS[1], 'new') error('x')\" 1 k", "GET k"),
    "a function": Case(
        f"FUNCTION LOAD {_library(1)}; SET k 1", f"FUNCTION LOAD REPLACE {_library(2)}", "FCALL_RO f 0; FCALL_RO f 1 k"
    ),
    "a script that only reads": Case("SET k old", "SET k new", "EVAL_RO \"return redis.call('GET', KEYS[1])\" 1 k"),
    "a script that reads what it likes": Case("SET k old", "SET k new", "EVAL_RO \"return redis.call('GET', 'k')\" 0"),
    "FLUSHALL": Case("SET k old; HSET h f v", "FLUSHALL", "GET k; HGETALL h; DBSIZE; RANDOMKEY"),
    "FLUSHDB": Case("SET k old", "FLUSHDB ASYNC", "GET k; EXISTS k; KEYS *"),
    "SWAPDB": Case("SET k zero; SELECT 1; SET k one; SELECT 0", "SWAPDB 0 1", "GET k; SELECT 1; GET k; SELECT 0"),
    "MOVE": Case("SET k v; SELECT 1; DEL k; SELECT 0", "MOVE k 1", "EXISTS k; SELECT 1; GET k; SELECT 0"),
    "RENAME": Case("SET k v; SET j old", "RENAME k j", "EXISTS k; GET j"),
    "RENAMENX": Case("SET k v", "RENAMENX k j", "EXISTS k; GET j"),
    "COPY": Case("SET k v; SET j old", "COPY k j REPLACE", "GET j; EXISTS j"),
    "COPY to another database": Case("SET k v", "COPY k j DB 1 REPLACE", "SELECT 1; GET j; SELECT 0"),
    "RESTORE": Case(
        "SET j x", 'RESTORE k 0 "\\x00\\xc0\\x05\\x0b\\x00\\x57\\x8f\\xca\\x8e\\x04\\x43\\xf0\\xd5"; SET j y', "GET k; GET j"
    ),
    "EXPIRE 0": Case("SET k v", "EXPIRE k 0", "GET k; EXISTS k; TTL k"),
    "PEXPIREAT in the past": Case("SET k v", "PEXPIREAT k 1000", "GET k; EXISTS k; TYPE k"),
    "SET with a time in the past": Case("SET k v", "SET k w EXAT 1", "GET k; EXISTS k"),
    "EXPIREAT far ahead": Case("SET k v", "EXPIREAT k 4102444800", "EXPIRETIME k; PEXPIRETIME k"),
    "PERSIST": Case("SET k v EX 100000", "PERSIST k", "TTL k; EXPIRETIME k"),
    "GETEX": Case("SET k v", "GETEX k EXAT 4102444800", "EXPIRETIME k"),
    "a field that expires at once": Case("HSET h f v g w", "HPEXPIREAT h 1000 FIELDS 1 f", "HGET h f; HLEN h; HEXISTS h f"),
    "SORT ... STORE": Case("RPUSH l 3 1 2; RPUSH m old", "SORT l STORE m", "LRANGE m 0 -1; LLEN m"),
    "SORT_RO with patterns": Case("RPUSH l a b; MSET w_a 1 w_b 2", "MSET w_a 5", "SORT_RO l BY w_*; SORT_RO l BY nosort GET w_*"),
    "GEOSEARCHSTORE": Case("GEOADD g 13.36 38.11 Palermo", "GEOSEARCHSTORE d g FROMLONLAT 13 38 BYRADIUS 900 km", "ZCARD d"),
    "GEORADIUS ... STORE": Case("GEOADD g 13.36 38.11 Palermo", "GEORADIUS g 13 38 900 km STORE d", "ZCARD d; EXISTS d"),
    "SINTERSTORE": Case("SADD s a b; SADD t b; SADD d old", "SINTERSTORE d s t", "SMEMBERS d; SCARD d"),
    "ZUNIONSTORE": Case("ZADD z 1 a; ZADD y 2 b; ZADD d 9 old", "ZUNIONSTORE d 2 z y", "ZRANGE d 0 -1 WITHSCORES"),
    "ZRANGESTORE": Case("ZADD z 1 a 2 b; ZADD d 9 old", "ZRANGESTORE d z 0 0", "ZRANGE d 0 -1"),
    "BITOP": Case("SET a abc; SET b abd; SET d old", "BITOP XOR d a b", "GET d; BITCOUNT d"),
    "PFMERGE": Case("PFADD p a b; PFADD q c; PFADD d x", "PFMERGE d p q", "PFCOUNT d"),
    "a large value": Case("SET k old", "SET k x*300000", "STRLEN k; EXISTS k"),
    "a large value in MULTI": Case("SET k old", "MULTI; SET k x*300000; EXEC", "STRLEN k"),
    "a small and a large value": Case("MSET k old j old", "MSET k new j x*300000", "GET k; STRLEN j"),
    "XREADGROUP that could block": Case(
        "XADD x 1-1 f v; XGROUP CREATE x g 0",
        "XREADGROUP GROUP g c COUNT 1 BLOCK 1000 STREAMS x >",
        "XPENDING x g",
    ),
    "a pop that could block": Case("RPUSH l a b c; ZADD z 1 a 2 b", "BLPOP l 0; BZPOPMIN z 0", "LRANGE l 0 -1; ZRANGE z 0 -1"),
    "a move that could block": Case("RPUSH l a b; RPUSH m x", "BLMOVE l m RIGHT LEFT 0", "LRANGE l 0 -1; LRANGE m 0 -1"),
    "a move that could block, in MULTI": Case("RPUSH l a; RPUSH m x", "MULTI; BRPOPLPUSH l m 0; EXEC", "LLEN l; LRANGE m 0 -1"),
    "a write of an attached client": Case("SET k old", "CLIENT NO-EVICT ON; SET k new; CLIENT NO-EVICT OFF", "GET k"),
    "a write of a client that tracks": Case("SET k old", "CLIENT TRACKING ON NOLOOP BCAST; SET k new; INCR n", "GET k; GET n"),
    "an unknown command's": Case("SET k old", "NOSUCH k; SET k new; NOSUCH k", "GET k"),
    "a command in lower case": Case("SET k old", "set k new", "get k; exists k"),
}
