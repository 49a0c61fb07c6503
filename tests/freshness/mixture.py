"""Random commands over few keys, of every type, reads and writes mixed: packets for two servers that must give the same replies.

Used by `test_mixtures`. Nothing here may depend on time, on a server's hash seed, or on chance on the server.
"""

from __future__ import annotations

import random

_TEMPLATES = """
GET s|STRLEN s|GETRANGE s 0 3|MGET s s s|MGET s h l|EXISTS s|EXISTS s h l t z x|TYPE *|TTL s|GETBIT s 5|BITCOUNT s|LCS s s
HGET h f|HGETALL h|HMGET h f f|HLEN h|HEXISTS h f|HSTRLEN h f|LRANGE l 0 -1|LLEN l|LINDEX l 0|LPOS l v|SMEMBERS t|SISMEMBER t v
SCARD t|SINTER t t|SUNION t t|SMISMEMBER t v v|ZRANGE z 0 -1 WITHSCORES|ZSCORE z v|ZRANK z v|ZCARD z|ZCOUNT z 1 3|ZDIFF 2 z z
XLEN x|XRANGE x - +|XREAD COUNT 2 STREAMS x 0|DBSIZE|KEYS *|EXPIRETIME *|GET *|DUMP s|SORT_RO t|SORT_RO l BY nosort GET s|PFCOUNT p
EVAL_RO "return redis.call('GET',KEYS[1])" 1 s|EVAL_RO "return redis.call('DBSIZE')" 0|EXISTS *|TYPE *|GET s|GET s|GET s|HGET h f|LLEN l
"""
_WRITES = """
SET s v|SET s v|SETNX s v|GETSET s v|APPEND s v|INCR n|SETRANGE s 2 v|MSET s v s v|MSETNX s v s v|SETBIT s 5 1|GETDEL s|DEL *|UNLINK * *
HSET h f v|HSET h f v f v|HDEL h f|HINCRBY i f 1|RPUSH l v v|LPUSH l v|LPOP l|RPOP l 2|LSET l 0 v|LTRIM l 0 3|LMOVE l l LEFT RIGHT
SADD t v|SREM t v|SMOVE t t v|SINTERSTORE t t t|ZADD z 1 v|ZADD z 2 v 3 v|ZINCRBY z 1 v|ZREM z v|ZPOPMIN z|ZUNIONSTORE z 2 z z|XADD x id f v
XTRIM x MAXLEN 2|RENAME s s|RENAMENX s s|COPY s s REPLACE|EXPIRE * 0|PEXPIREAT * 1000|EXPIREAT * 4102444800|PERSIST *|SORT t ALPHA STORE l
MULTI/SET s v/HSET h f v/GET s/EXEC|MULTI/DEL s/DISCARD|MULTI/RPUSH l v/EXEC|WATCH s/GET s/MULTI/SET s v/EXEC|PFADD p v|BITOP NOT s s
EVAL "return redis.call('SET',KEYS[1],ARGV[1])" 1 s v|EVAL "return redis.call('DEL','s1')" 0|BLPOP full 0|BLMOVE full l LEFT LEFT 0|FLUSHDB
"""


def _table(text: str) -> list[list[str]]:
    """Each entry: one command, or several that belong together."""
    return [entry.split("/") for line in text.strip().splitlines() for entry in line.split("|")]


READS, WRITES = _table(_TEMPLATES), _table(_WRITES)
RARE = ("FLUSHDB", "EVAL")
COUNTS = {"s": 3, "h": 2, "l": 2, "t": 2, "z": 2, "x": 1, "n": 2, "i": 1, "p": 1}
"""How many keys there are of each type."""
ANY = [key for key in COUNTS if key != "p"]
"""Keys whose bytes may be read: where PFCOUNT is asked, a server keeps what it counted in the value."""


class Mixture:
    """An endless stream of commands, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.serial = 0

    def packet(self, most: int) -> list[str]:
        """Up to about `most` commands."""
        commands: list[str] = []
        count = self.random.randint(1, most)
        while len(commands) < count:
            commands += self.next()
        return commands

    def next(self) -> list[str]:
        """One command, or those that belong together."""
        chosen = self.random.choice(WRITES if self.random.random() < 0.35 else READS)
        if chosen[0].startswith(RARE) and self.random.random() < 0.7:
            return self.next()
        commands = [self.filled(command) for command in chosen]
        if chosen[0].startswith("BL"):  # so that it does not block
            commands.insert(0, self.filled("RPUSH full v"))
        return commands

    def filled(self, template: str) -> str:
        name, *words = template.split(" ")
        if name.startswith("EVAL"):
            script, _, rest = template.rpartition('"')
            return f'{script}" ' + " ".join(self.word(word) for word in rest.split())
        return " ".join([name, *(self.word(word) for word in words)])

    def word(self, word: str) -> str:
        self.serial += 1
        if word == "*":
            word = self.random.choice(ANY)
        if word in COUNTS:
            return f"{word}{self.random.randrange(COUNTS[word])}"
        if word == "f":
            return f"f{self.random.randrange(3)}"
        if word == "id":
            return f"{self.serial}-1"
        if word == "v":
            return str(self.random.choice([self.random.randrange(6), self.serial]))
        return word
