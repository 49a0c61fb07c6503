"""Some two hundred command lines of every type, with what a test needs to send them: the same bytes to a
server and to rproxy.

Used by test_same_bytes.py. Every line's reply depends on nothing but the lines before it: no time, no random
choice, no process id.
"""

from __future__ import annotations

import shlex

from tests.integration.wire import pack

LINES = r"""
SET s hello
GET s
GET nothing
SET s world EX 1000 NX
SET s world XX GET
SET s v PX
SETNX s other
SETEX t 1000 v
PSETEX t 0 v
APPEND s !!
STRLEN s
GETRANGE s 1 3
SETRANGE s 2 XY
GETSET s next
GETDEL s
GETEX t PERSIST
TTL t
EXPIREAT t 4102444800
EXPIRETIME t
PEXPIRETIME t
PERSIST t
MSET a 1 b 2 c three
MSETNX a 1 d 2
MGET a b nothing c
INCR a
INCRBY a 41
DECR a
DECRBY a 2
INCRBYFLOAT a 1.5
INCR c
INCRBY a notanumber
SET big 9223372036854775807
INCR big
LCS a b
SUBSTR c 0 1
EXISTS a b nothing a
TYPE a
TYPE nothing
RENAME a z
RENAME nothing y
RENAMENX z b
COPY b copied
COPY b copied REPLACE
DEL copied nothing
UNLINK z
OBJECT ENCODING b
OBJECT ENCODING nothing
OBJECT REFCOUNT c
DBSIZE
HSET h f1 v1 f2 v2 f3 3
HGET h f1
HGET h nothing
HMGET h f1 nothing f3
HGETALL h
HGETALL nothing
HKEYS h
HVALS h
HLEN h
HEXISTS h f1
HSTRLEN h f1
HINCRBY h f3 4
HINCRBYFLOAT h f3 0.5
HINCRBY h f1 1
HSETNX h f1 x
HDEL h f2 nothing
HSCAN h 0
HRANDFIELD nothing 3 WITHVALUES
HSET h odd
RPUSH l a b c d
LPUSH l z
LRANGE l 0 -1
LINDEX l 1
LINDEX l 99
LLEN l
LPOS l c
LINSERT l BEFORE b x
LSET l 0 y
LSET l 99 y
LREM l 0 x
LTRIM l 0 3
LPOP l
RPOP l 2
LPOP nothing
LPOP nothing 2
LMOVE l l2 LEFT RIGHT
RPOPLPUSH l2 l
LMPOP 1 l LEFT COUNT 1
LMPOP 1 nothing LEFT
RPUSHX nothing a
SADD st 3 1 2
SMEMBERS st
SISMEMBER st 1
SMISMEMBER st 1 9
SCARD st
SADD st2 2 3 4
SINTER st st2
SUNION st st2
SDIFF st st2
SINTERCARD 2 st st2
SINTERSTORE st3 st st2
SMOVE st st2 1
SREM st2 4
SSCAN st 0
SPOP nothing
SPOP nothing 2
SRANDMEMBER nothing
ZADD z 1 one 2 two 3.25 three
ZADD z XX CH 5 one
ZADD z INCR 1 two
ZADD z NX XX 1 one
ZADD z nan one
ZSCORE z three
ZSCORE z nothing
ZMSCORE z one nothing
ZRANGE z 0 -1 WITHSCORES
ZREVRANGE z 0 -1
ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 1 1
ZRANGEBYLEX z - +
ZRANK z two
ZRANK z two WITHSCORE
ZRANK z nothing
ZCARD z
ZCOUNT z 1 4
ZINCRBY z 2.5 two
ZPOPMIN z
ZPOPMAX z 2
ZPOPMIN nothing
ZADD z2 1 a 2 b
ZADD z3 3 b 4 c
ZUNION 2 z2 z3 WITHSCORES
ZINTER 2 z2 z3 WEIGHTS 2 3 WITHSCORES
ZDIFF 2 z2 z3
ZUNIONSTORE z4 2 z2 z3
ZRANGESTORE z5 z4 0 1
ZMPOP 1 z4 MAX
ZSCAN z5 0
XADD x 1-1 f v
XADD x 1-2 f v2 g w
XADD x 1-1 f v
XADD x 2-1 only
XLEN x
XRANGE x - +
XREVRANGE x + - COUNT 1
XREAD COUNT 1 STREAMS x 0
XREAD STREAMS x $
XGROUP CREATE x g 0
XGROUP CREATE x g 0
XREADGROUP GROUP g c COUNT 1 STREAMS x >
XREADGROUP GROUP nothing c STREAMS x >
XACK x g 1-1
XPENDING x g
XINFO GROUPS nothing
XDEL x 1-2
XTRIM x MAXLEN 0
XSETID x 5-5
SETBIT bits 7 1
GETBIT bits 7
GETBIT bits 100
BITCOUNT bits
BITPOS bits 1
BITOP NOT bits2 bits
BITFIELD bits SET u8 0 200 GET u4 4 INCRBY u2 0 1
BITFIELD_RO bits GET u8 0
BITFIELD_RO bits SET u8 0 1
PFADD hll a b c
PFADD hll a
PFCOUNT hll
PFMERGE hll2 hll
PFCOUNT hll hll2
PFADD s2 a
PFCOUNT l
GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEODIST geo Palermo Catania km
GEOPOS geo Palermo nothing
GEOHASH geo Palermo
GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHCOORD WITHDIST
GEORADIUS geo 15 37 200 km ASC
GEOADD geo 200 100 nowhere
SORT st
SORT l ALPHA DESC
SORT l
SORT_RO st DESC
EVAL "return {1,2,{3,'four'},redis.status_reply('FINE')}" 0
EVAL "return redis.call('GET', KEYS[1])" 1 b
EVAL "return redis.error_reply('MYERR words')" 0
EVAL "return redis.call('NOSUCH')" 0
EVAL "this is not lua" 0
EVAL "redis.setresp(3); return {map={a=1.5}}" 0
EVAL_RO "return redis.call('SET', KEYS[1], 'v')" 1 b
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
GET
GET a b
SET onlykey
HGET h
LPUSH l
HGET l f
LPUSH h a
GET l
INCR l
ZADD l 1 a
NOSUCHCOMMAND
NOSUCHCOMMAND with some arguments
OBJECT NOSUCH a
CONFIG NOSUCH
XGROUP NOSUCH
CLIENT NOSUCH
CLIENT
PING
PING hello
PING too many
ECHO hello
ECHO
echo LowerCase
gEt b
GET ""
SET "" empty
GET ""
SET bin "\x00\r\n\xff"
SETRANGE long 4000 x
GETRANGE long 0 -1
RANDOMKEY extra
KEYS nothing*
SCAN 0 MATCH nothing* COUNT 1000
DUMP nothing
RESTORE b 0 garbage
MOVE b 0
SELECT 0
SELECT abc
SELECT 999
EXPIRE b 100 BADFLAG
EXPIRE nothing 100
FUNCTION LIST
COMMAND COUNT
COMMAND INFO GET
COMMAND DOCS GET
COMMAND GETKEYS MSET a 1 b 2
CONFIG GET maxmemory
ACL WHOAMI
MEMORY USAGE nothing
LATENCY NOSUCH
FLUSHALL SIDEWAYS
"""


def words_of(line: str) -> list[bytes]:
    """The arguments of one line; quoted words may hold the escapes of a Python bytes literal."""
    words = shlex.split(line, posix=False)
    return [
        word[1:-1].encode("latin-1").decode("unicode_escape").encode("latin-1") if word[0] == '"' else word.encode()
        for word in words
    ]


def commands() -> list[bytes]:
    """Each line as the bytes of one command, in order."""
    return [pack(*words_of(line)) for line in LINES.strip().splitlines()]
