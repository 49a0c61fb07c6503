"""The commands that plans are made of, as templates.

In a template `<s>` stands for a key of the type that the letter says (s string, l list, t set, h hash, z sorted set, x stream, p HyperLogLog, g places,
b bits, `*` any), `<s+>` for one to three of them and `<#s>` for their number before them; `<v>` for a value, `<V>` for one that may be large, `<m>` for a
member or field, `<n>` for a number, `<f>` for a score and `<id>` for the next stream id; `{a|b}` for one of several words. Nothing here may depend on a
server's chance, hash seed or clock, except what `differences` knows.
"""

from __future__ import annotations

import hashlib


def _table(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


READS = _table("""
GET <s>
GET <s>
MGET <s+>
STRLEN <s>
GETRANGE <s> <n> <n>
SUBSTR <s> 0 3
LCS <s> <s>
EXISTS <*+>
TOUCH <*+>
TYPE <*>
TTL <*>
PTTL <*>
EXPIRETIME <*>
OBJECT ENCODING <*>
OBJECT HELP
KEYS {*|s*|h?|nothing}
DBSIZE
LRANGE <l> <n> <n>
LRANGE <l> 0 -1
LLEN <l>
LINDEX <l> <n>
LPOS <l> <v>
SMEMBERS <t>
SCARD <t>
SISMEMBER <t> <m>
SMISMEMBER <t> <m> <m>
SUNION <t+>
SINTER <t+>
SDIFF <t+>
SINTERCARD <#t> LIMIT 1
HGETALL <h>
HGET <h> <m>
HMGET <h> <m> <m>
HLEN <h>
HEXISTS <h> <m>
HKEYS <h>
HVALS <h>
HSTRLEN <h> <m>
HTTL <h> FIELDS 1 <m>
ZRANGE <z> 0 -1 WITHSCORES
ZRANGEBYSCORE <z> -inf +inf
ZREVRANGE <z> <n> <n>
ZSCORE <z> <m>
ZMSCORE <z> <m> <m>
ZCARD <z>
ZRANK <z> <m>
ZCOUNT <z> 0 5
ZLEXCOUNT <z> - +
ZUNION <#z> WITHSCORES
ZINTERCARD <#z>
ZDIFF <#z>
XLEN <x>
XRANGE <x> - +
XREVRANGE <x> + - COUNT 3
XREAD COUNT 2 STREAMS <x> 0
XREAD STREAMS <x> $
XPENDING <x> grp
XINFO STREAM <x>
PFCOUNT <p> <p>
GEOPOS <g> <m>
GEODIST <g> <m> <m>
GEOHASH <g> <m>
GEOSEARCH <g> FROMLONLAT 10 10 BYRADIUS 500 km ASC
GEORADIUS_RO <g> 10 10 500 km ASC
GETBIT <b> <n>
BITCOUNT <b>
BITPOS <b> 1
BITFIELD_RO <b> GET u8 0
SORT_RO <l> ALPHA
SORT_RO <l> BY s* GET # GET s*
EVAL_RO "return redis.call('get',KEYS[1])" 1 <s>
EVAL_RO "return {redis.call('llen',KEYS[1]),ARGV[1]}" 1 <l> <v>
EVAL_RO "return redis.call('set',KEYS[1],'x')" 1 <s>
EVAL "#!lua flags=no-writes\\nreturn redis.call('get',KEYS[1])" 1 <s>
FCALL_RO rd 1 <s>
PING
PING <v>
ECHO <v>
""")

WRITES = _table("""
SET <s> <V>
SET <s> <V>
SET <s> <v> {NX|XX|GET|KEEPTTL}
SET <s> <v> IFEQ <v>
SETNX <s> <v>
GETSET <s> <v>
APPEND <s> <v>
INCR <s>
INCRBY <s> <n>
DECR <s>
INCRBYFLOAT <s> <f>
SETRANGE <s> 3 <v>
MSET <s> <v> <s> <v>
MSETNX <s> <v> <s> <v>
GETDEL <s>
GETEX <s> PERSIST
DEL <*+>
UNLINK <*+>
EXPIRE <*> {100|1000|-1}
PERSIST <*>
PEXPIREAT <*> 1
RENAME <*> <*>
RENAMENX <*> <*>
COPY <*> <*> REPLACE
COPY <*> <*> DB {1|2} REPLACE
MOVE <*> {0|1|2}
LPUSH <l> <V> <v>
RPUSH <l> <v> <v>
LPUSHX <l> <v>
LPOP <l>
RPOP <l> 2
LSET <l> <n> <v>
LREM <l> <n> <v>
LTRIM <l> 0 4
LINSERT <l> BEFORE <v> <v>
RPOPLPUSH <l> <l>
LMOVE <l> <l> LEFT RIGHT
LMPOP <#l> LEFT
SADD <t> <m> <m>
SREM <t> <m>
SMOVE <t> <t> <m>
SUNIONSTORE <t> <t+>
SINTERSTORE <t> <t+>
SDIFFSTORE <t> <t+>
HSET <h> <m> <v> <m> <v>
HDEL <h> <m>
HINCRBY <h> <m> <n>
HSETNX <h> <m> <v>
HSETEX <h> EX 100 FIELDS 1 <m> <v>
HPERSIST <h> FIELDS 1 <m>
ZADD <z> <f> <m> <f> <m>
ZADD <z> {NX|XX|GT|LT|CH|INCR} <f> <m>
ZINCRBY <z> <f> <m>
ZREM <z> <m>
ZPOPMIN <z>
ZPOPMAX <z> 2
ZUNIONSTORE <z> <#z> AGGREGATE MAX
ZINTERSTORE <z> <#z>
ZRANGESTORE <z> <z> 0 2
ZMPOP <#z> MIN
ZREMRANGEBYRANK <z> 0 0
XADD <x> <id> <m> <v>
XADD <x> NOMKSTREAM <id> f v
XTRIM <x> MAXLEN 4
XGROUP CREATE <x> grp {0|$} MKSTREAM
XGROUP CREATE <x> grp 0
XGROUP DESTROY <x> grp
XREADGROUP GROUP grp c COUNT 1 STREAMS <x> >
XAUTOCLAIM <x> grp c2 0 0 COUNT 2 JUSTID
PFADD <p> <m> <m>
PFMERGE <p> <p+>
GEOADD <g> 10.3 10.5 <m>
GEOSEARCHSTORE <g> <g> FROMLONLAT 10 10 BYRADIUS 500 km
GEORADIUS <g> 10 10 500 km STORE <g>
SETBIT <b> <n> {0|1}
BITOP {AND|OR|XOR} <b> <b+>
BITFIELD <b> INCRBY u8 0 1
SORT <l> ALPHA STORE <l>
SORT <l> BY nosort GET s*
EVAL "return redis.call('set',KEYS[1],ARGV[1])" 1 <s> <v>
EVAL "redis.call('rpush',KEYS[1],ARGV[1]) return redis.call('llen',KEYS[1])" 1 <l> <v>
EVAL "return redis.call('incr',KEYS[1])" 1 <s>
EVAL "for i,k in ipairs(ARGV) do redis.call('append',k,'!') end return #ARGV" 0 <s+>
EVAL "return {KEYS[1],ARGV[1]}" 1 a b
EVAL "return redis.error_reply('MY err')" 0
EVAL "return redis.error_reply('READONLY You can not write against a read only replica.')" 0
EVAL "bad lua(" 0
FCALL wr 1 <s> <v>
BLPOP <l> 0.01
BRPOP <l> <l> 0.01
BLMOVE <l> <l> LEFT RIGHT 0.01
BLMPOP 0.01 <#l> RIGHT
BRPOPLPUSH <l> <l> 0.01
BZPOPMIN <z> 0.01
XREAD BLOCK 10 STREAMS <x> $
XREADGROUP GROUP grp c BLOCK 10 STREAMS <x> >
""")

TRANSACTIONS = _table("""
MULTI
MULTI
EXEC
EXEC
DISCARD
WATCH <*+>
UNWATCH
EXEC x
MULTI x
DISCARD x
WATCH
UNWATCH x
RESET x
NOSUCH a b
GET
SET s0
SELECT abc
CLIENT NOSUCH
EVALSHA x
SCRIPT NOSUCH
""")

_SCRIPTS = ("return 7", "return redis.call('get',KEYS[1])", "return redis.call('incr',KEYS[1])")
_SHA = [hashlib.sha1(script.encode()).hexdigest() for script in _SCRIPTS]
_LIBRARY = (
    "#!lua name=lib\\nredis.register_function{function_name='rd',callback=function(k,a) return {1,redis.call('get',k[1])} end,flags={'no-writes'}}"
    " redis.register_function('wr',function(k,a) return redis.call('set',k[1],a[1]) end)"
)

SCRIPTS = _table(f"""
SCRIPT LOAD "{_SCRIPTS[0]}"
SCRIPT LOAD "{_SCRIPTS[1]}"
SCRIPT FLUSH
SCRIPT FLUSH {{ASYNC|SYNC|NOW}}
SCRIPT EXISTS {_SHA[0]} {_SHA[1]} {_SHA[2]}
EVAL "{_SCRIPTS[0]}" 0
EVAL "{_SCRIPTS[1]}" 1 <s>
EVAL "{_SCRIPTS[2]}" 1 <s>
EVAL_RO "{_SCRIPTS[0]}" 0
EVAL_RO "{_SCRIPTS[1]}" 1 <s>
EVALSHA {_SHA[0]} 0
EVALSHA {_SHA[1]} 1 <s>
EVALSHA {_SHA[2]} 1 <s>
EVALSHA_RO {_SHA[0]} 0
EVALSHA_RO {_SHA[1]} 1 <s>
EVALSHA_RO {_SHA[2]} 1 <s>
EVALSHA {"0" * 40} 0
EVAL "{_SCRIPTS[1]}" 5 <s>
FUNCTION LOAD REPLACE "{_LIBRARY}"
FUNCTION DELETE lib
FUNCTION LIST
FCALL wr 1 <s> <v>
FCALL_RO rd 1 <s>
FCALL_RO wr 1 <s> <v>
""")

SESSIONS = _table("""
SELECT {0|1|2}
SELECT {0|1}
SELECT {99|abc|-1|1000000000000}
SWAPDB {0|1} {1|2}
HELLO {2|3}
HELLO
HELLO {4|abc}
HELLO {2|3} SETNAME {n3|n4}
HELLO {2|3} AUTH {low low|admin admin|low wrong|nobody x|default x}
HELLO 3 AUTH low wrong AUTH admin admin
HELLO 2 AUTH admin admin AUTH low low
HELLO 3 SETNAME AUTH AUTH low low
HELLO 3 NOSUCH
HELLO 3 AUTH low
AUTH {low low|admin admin|low low|admin admin}
AUTH {low wrong|nobody x|nopass|default x|low}
RESET
ACL WHOAMI
CLIENT SETNAME {n1|n2}
CLIENT SETNAME "bad name"
CLIENT SETINFO LIB-NAME {lib1|lib2}
CLIENT SETINFO LIB-VER 1.2
CLIENT SETINFO NOSUCH x
CLIENT GETNAME
CLIENT NO-TOUCH {on|off|maybe}
CLIENT NO-EVICT {on|off}
CLIENT TRACKINGINFO
CLIENT GETREDIR
CLIENT CACHING {YES|NO}
CLIENT NOSUCH
CLIENT KILL ID 0
CLIENT UNBLOCK 0
CLIENT ID
CLIENT REPLY FOO
FLUSHDB
FLUSHALL
COMMAND COUNT
COMMAND GETKEYS SET a b
COMMAND INFO GET
CONFIG GET maxmemory
PUBSUB CHANNELS
PUBSUB NUMSUB ch1
PUBSUB NUMPAT
READONLY
ASKING
WAIT 0 0
NOSUCH a b
GET
MGET
""")

SUBSCRIPTIONS = _table("""
SUBSCRIBE {ch1|ch2|ch3}
SUBSCRIBE ch1 ch2
PSUBSCRIBE {ch*|c?2}
SSUBSCRIBE {sh1|sh2}
UNSUBSCRIBE
UNSUBSCRIBE {ch1|zz}
UNSUBSCRIBE ch1 ch2 ch3
PUNSUBSCRIBE
PUNSUBSCRIBE ch* c?2
SUNSUBSCRIBE
PING
PING hello
GET s0
SET s1 v
RESET
SUBSCRIBE
HELLO 3
HELLO 2
""")

PUBLICATIONS = ("PUBLISH {ch1|ch2} <v>", "SPUBLISH {sh1|sh2} <v>")

TRACKING = _table("""
CLIENT TRACKING ON
CLIENT TRACKING ON NOLOOP
CLIENT TRACKING ON BCAST
CLIENT TRACKING ON BCAST PREFIX s PREFIX h
CLIENT TRACKING ON BCAST PREFIX s PREFIX s1
CLIENT TRACKING ON OPTIN
CLIENT TRACKING ON OPTOUT
CLIENT TRACKING ON REDIRECT 999999
CLIENT TRACKING OFF
CLIENT TRACKING MAYBE
CLIENT CACHING YES
CLIENT TRACKINGINFO
CLIENT GETREDIR
""")

HELD = _table("""
BLPOP <l> 60
BRPOP none <l> 60
BLMOVE <l> l2 LEFT RIGHT 60
BLMPOP 60 2 none <l> LEFT
BZPOPMIN <z> 60
BZMPOP 60 1 <z> MAX
XREAD BLOCK 60000 STREAMS <x> $
""")
"""Commands that wait until somebody else ends it."""

SERVING = {
    "l": _table("""
RPUSH <l> p1 p2
MULTI/RPUSH <l> p1/EXEC
EVAL "return redis.call('rpush',KEYS[1],'e')" 1 <l>
DEL tmp/RPUSH tmp q/RENAME tmp <l>
SET <l> text/DEL <l>/RPUSH <l> z
"""),
    "z": _table("""
ZADD <z> 1 m1
DEL tmp/ZADD tmp 2 n/RENAME tmp <z>
"""),
    "x": ("XADD <x> <id> f v",),
}
"""What ends the wait, by the type of the key that is waited for; several commands are separated by a slash."""

EXPIRING = ("SET <s> v PX <ms>", "PSETEX <s> <ms> v")
EXPIRED = _table("""
GET <s>
EXISTS <s>
TTL <s>
TYPE <s>
STRLEN <s>
MGET <s> s0
SET <s> n NX
SET <s> n GET
INCR <s>
APPEND <s> q
KEYS s*
EVAL_RO "return redis.call('get',KEYS[1])" 1 <s>
""")
