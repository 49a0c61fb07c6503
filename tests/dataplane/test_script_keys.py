"""Which scripts are proved by their text to touch only the keys that they are given."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane import script_keys
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.freshness import KEYSPACE, slot_of
from rproxy.dataplane.script_keys import LONGEST, ScriptKeys, proves
from rproxy.dataplane.touched import slots_of_words

TABLE = CommandTable(None, scripts_declare_keys=False)
ACQUIRE = """
    local token = redis.call('get', KEYS[1])
    if not token or token ~= ARGV[1] then
        return 0
    end
    local expiration = redis.call('pttl', KEYS[1])
    if not expiration then
        expiration = 0
    end
    redis.call('pexpire', KEYS[1], expiration + ARGV[2])
    return 1
"""
"""As redis-py's Lock extends itself (redis/lock.py)."""


def proved(text: str) -> bool:
    return proves(text.encode(), TABLE.key_places)


@pytest.mark.parametrize(
    "text",
    [
        "return 1", "", "-- nothing", "return ARGV[1] .. ' redis.call(x)'", "--[[ redis.call(x) ]] return 1", "return [==[ redis.call(x) ]==]",
        "#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])", 'return redis.pcall("get", KEYS[1])', ACQUIRE,
        "return redis.call('SET', KEYS[1], ARGV[1], 'EX', tonumber(ARGV[2]))", "return redis.call('SET', KEYS[1], f(ARGV[1], 2))",
        "local key = KEYS[1]; redis.call('INCR', key) redis.call('EXPIRE', key, 10)", "local key = KEYS[1]\nlocal n = redis.call('INCR', key)\nreturn n",
        "for i = 1, #KEYS do redis.call('DEL', KEYS[i]) end", "for i, key in ipairs(KEYS) do redis.call('SET', key, i) end",
        "return redis.call('DEL', unpack(KEYS))", "return redis.call('MSET', KEYS[1], 'a', KEYS[2], 'b')", "return redis.call('RENAME', KEYS[1], KEYS[2])",
        "return redis.call('HMSET', KEYS[1], unpack(ARGV))", "return redis.call('RPUSH', KEYS[#KEYS], KEYS[1])", "return {KEYS[1], KEYS[2]}",
        "return redis.error_reply('ERR ' .. KEYS[1])", "redis.log(redis.LOG_NOTICE, 'x') return redis.status_reply('FINE')", "return redis.call('TIME')",
        "redis.call('PUBLISH', 'news', ARGV[1])", "if redis.call('EXISTS', KEYS[1], KEYS[2]) == 2 then return 1 end", "redis.setresp(3)",
        "local t = {redis.call('GET', KEYS[1])}; t[1] = 5; t.x = 6", "local function f(a) return redis.call('GET', KEYS[a]) end return f(1)",
        "local x, y = 1, 2; x = y", "return {['a'] = 1, ['b'] = 2, c = 3}", "return {'x', 1, f(2), a = 3}",
        "for i in pairs(KEYS) do redis.call('DEL', KEYS[i]) end", "return cjson.encode({a = redis.call('TTL', KEYS[1])})",
        "redis.call('GET', KEYS[redis.call('LLEN', KEYS[2])])",
    ],
)  # fmt: skip
def test_a_script_that_uses_its_keys_alone_is_proved(text: str) -> None:
    assert proved(text)


OTHERS = r"""
redis.call('SET', 'k', 1)
redis.call('SET', ARGV[1], 1)
redis.call('SET', KEYS[1] .. ':x', 1)
redis.call('SET', 'p' .. KEYS[1], 1)
redis.call('SET', (KEYS[1] .. 'x'), 1)
redis.call('SET', KEYS[1]:upper(), 1)
redis.call('SET', KEYS[1]('x'), 1)
redis.call(ARGV[1], KEYS[1])
redis.call('SE' .. 'T', KEYS[1], 1)
redis.call('\83ET', 'k', 1)
redis.call([[SET]], KEYS[1], 1)
redis.call(unpack(ARGV))
redis.call('SET', unpack(ARGV))
redis.call('DEL', KEYS[1], 'k')
redis.call('DEL', unpack(ARGV))
redis.call('DEL', KEYS[1], unpack(ARGV))
redis.call('DEL', KEYS[1], f())
redis.call('DEL', unpack(KEYS) .. 'x')
redis.call('DEL', unpack(KEYS, 1, 2))
redis.call('MSET', KEYS[1], 1, 'k', 2)
redis.call('MSET', unpack(ARGV))
redis.call('RENAME', KEYS[1], ARGV[1])
redis.call('RENAME', KEYS[1], unpack(ARGV))
redis.call('FLUSHALL')
redis.call('SCAN', 0)
redis.call('KEYS', '*')
redis.call('RANDOMKEY')
redis.call('SORT', KEYS[1], 'STORE', 'k')
redis.call('NOSUCH', KEYS[1])
redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '$')
local call = redis.call; call('SET', KEYS[1], 1)
local r = redis
redis['call']('SET', 'k', 1)
redis.call'FLUSHALL'
redis.call{'FLUSHALL'}
pcall(redis.call, 'SET', 'k', 1)
redis.call = f
redis.log = f redis.log('SET', 'k')
redis = f()
local redis = f
f(redis)
return redis
KEYS[1] = 'k' redis.call('DEL', KEYS[1])
KEYS = {'k'}
local KEYS = {'k'}
x, KEYS[1] = 1, 'k'
KEYS[1], x = 'k', 1
KEYS[1].x = 1
local k = KEYS k[1] = 'k'
table.insert(KEYS, 'k')
table.sort(KEYS)
f(KEYS)
return KEYS
for i, k in pairs(KEYS) do redis.call('DEL', k) end
x.ipairs(KEYS)
#KEYS(1)
local k = KEYS[1] k = 'k' redis.call('DEL', k)
local k = KEYS[1] .. 'x' redis.call('DEL', k)
local k = KEYS[1] or 'x' redis.call('DEL', k)
local k = KEYS[1](1) redis.call('DEL', k)
local k = KEYS[1] 'x' redis.call('DEL', k)
local k = KEYS[1].x redis.call('DEL', k)
local k, l = KEYS[1], 'x' redis.call('DEL', k)
local k = KEYS[1] local k = 'x' redis.call('DEL', k)
local k = KEYS[1] k, x = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] x, k = 1, 'k' redis.call('DEL', k)
local k = KEYS[1] k, t[1] = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, t.x = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, f(1).x = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] x, k, t.x = 1, 'k', 1 redis.call('DEL', k)
local k = KEYS[1] local a, k, b = 1, 'k', 2 redis.call('DEL', k)
local k = KEYS[1] for k = 1, 2 do redis.call('DEL', k) end
local k = KEYS[1] for _, k in f() do redis.call('DEL', k) end
local k = KEYS[1] local function f(k) redis.call('DEL', k) end f('k')
local k = KEYS[1] local f = function(a, k) redis.call('DEL', k) end
local k = KEYS[1] function k() end redis.call('DEL', k)
local k = KEYS[1] while 1 do local j = k redis.call('DEL', j) k = 'k' end
local k k = KEYS[1] redis.call('DEL', k)
k = KEYS[1] redis.call('DEL', k)
local ipairs = f for _, k in ipairs(KEYS) do redis.call('DEL', k) end
unpack = f redis.call('DEL', unpack(KEYS))
function ipairs(t) t[1] = 'k' end ipairs(KEYS)
loadstring(ARGV[1])()
_G.redis.call('FLUSHALL')
_G['redis']
getfenv()
setmetatable(KEYS, {})
rawset(KEYS, 1, 'k')
server.call('FLUSHALL')
local a = load
redis.call('GET', KEYS[1]
redis.call('GET', KEYS[1)
return 'x
return [[x
--[[ x
return 1 ? 2
return `x`
function a.b.c.d.e.f.g.h.i.j.k.l() end
= 1
pcall(function() KEYS[1], x = 'k', 1 end)
local k = KEYS[1] k, f'x'.y = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, f{}.y = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, f'x'[1] = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, (t).x = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, (t)[1] = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, ('x').y.z = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, a:b(1).x = 'k', 1 redis.call('DEL', k)
local k = KEYS[1] k, t[1][2].x[3] = 'k', 1 redis.call('DEL', k)
KEYS[1].x, y = 'k', 1
KEYS[1], t[1] = 'k', 1
KEYS[1], (t).x = 'k', 1
for _, k in ipairs(KEYS), {'k'}, 0 do redis.call('DEL', k) end
for _, k in ipairs(KEYS)(1) do redis.call('DEL', k) end
local f, t = ipairs(KEYS) t[1] = 'k' redis.call('DEL', KEYS[1])
local f, t = pairs(KEYS) t[1] = 'k' redis.call('DEL', KEYS[1])
local t = {pairs(KEYS)} t[2][1] = 'k' redis.call('DEL', KEYS[1])
for _, x in f(ipairs(KEYS)) do redis.call('DEL', KEYS[1]) end
"""
"""One script a line."""


@pytest.mark.parametrize("text", OTHERS.strip().splitlines())
def test_nothing_else_is_proved(text: str) -> None:
    assert not proved(text)


@pytest.mark.parametrize("end", ["\r", "\n", "\n\r"])
def test_a_comment_ends_where_lua_says_that_a_line_ends(end: str) -> None:
    """Its lexer takes a carriage return for an end too (llex.c, currIsNewline)."""
    assert not proved(f"-- nothing{end}redis.call('SET', 'k', 1)")
    assert not proved(f"return 'a{end}'")


@given(st.text(alphabet="[]=-'\"\\\n KEYSredis.call(,)#ab1", max_size=60))
def test_no_text_does_anything_else_than_prove_it_or_not(text: str) -> None:
    assert proved(text) in (True, False)


@pytest.mark.parametrize(
    "piece",
    [
        "[[", "[=", "'", "function ", "KEYS[", "redis.call('get',", "redis.call('get',KEYS[", "a,", "{KEYS[1],", "a.", "(", "--[", "a=b,", "KEYS[1],",
        "local a,", "x[1],",
    ],
)  # fmt: skip
def test_a_long_text_takes_no_longer_than_its_length(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in looks at tokens, where that can be: twice the text takes about twice as many."""
    looks = 0

    class Counted(list[bytes]):
        def __getitem__(self, at):  # type: ignore[no-untyped-def]
            nonlocal looks
            looks += 1
            return super().__getitem__(at)

    def counted(text: bytes) -> int:
        nonlocal looks
        looks = 0
        try:
            script = script_keys._Script(list(script_keys._tokens(text)), TABLE.key_places)
            script._tokens = Counted(script._tokens)
            script.is_proved()
        except ValueError:
            pass
        return looks

    closing = {"KEYS[": "]", "redis.call('get',": "1)", "redis.call('get',KEYS[": "1])", "{KEYS[1],": "}", "(": ")"}.get(
        piece, ""
    )
    once, twice = (counted((piece * count + closing * count).encode()) for count in (200, 400))
    assert twice <= 3 * once + 100


def test_the_verdict_of_a_text_counts_for_its_digest_too() -> None:
    scripts = ScriptKeys(TABLE.key_places)
    text, other = b"return redis.call('GET', KEYS[1])", b"return redis.call('GET', 'k')"
    digests = [hashlib.sha1(source).hexdigest().encode() for source in (text, other)]
    assert not scripts.declared([b"EVALSHA", digests[0], b"1", b"k"])
    assert scripts.declared([b"EVAL", text, b"1", b"k"]) and not scripts.declared([b"eval", other, b"0"])
    assert scripts.declared([b"EVALSHA", digests[0].upper(), b"1", b"k"]) and scripts.declared(
        [b"evalsha_ro", digests[0], b"1", b"k"]
    )
    assert not scripts.declared([b"EVALSHA", digests[1], b"0"]) and not scripts.declared([b"EVAL"])


def test_as_many_verdicts_are_remembered_as_may_be_the_latest_used() -> None:
    scripts = ScriptKeys(TABLE.key_places)
    texts = [b"return %d" % number for number in range(script_keys.MOST_KNOWN + 1)]
    for text in texts[:-1]:
        scripts.learn(text)
    scripts.learn(texts[0])
    scripts.learn(texts[-1])
    known = [
        scripts.declared([b"EVALSHA", hashlib.sha1(text).hexdigest().encode(), b"0"]) for text in (texts[0], texts[1], texts[-1])
    ]
    assert known == [True, False, True]


def test_a_text_that_is_too_long_proves_nothing() -> None:
    scripts = ScriptKeys(TABLE.key_places)
    assert not scripts.learn(b"return 1 --" + b"x" * LONGEST)
    assert scripts.learn(b"return 1 --" + b"x" * (LONGEST - 100))


def test_a_script_touches_its_keys_where_that_is_proved_and_else_all() -> None:
    key = [slot_of(b"k", 0, 1)]
    good, bad = b"return redis.call('INCR', KEYS[1])", b"return redis.call('INCR', 'k')"
    evaluate, by_digest, function = (TABLE.find(name) for name in (b"EVAL", b"EVALSHA", b"FCALL"))
    assert slots_of_words(evaluate, [b"EVAL", good, b"1", b"k"]) == key
    assert slots_of_words(evaluate, [b"EVAL", bad, b"1", b"k"]) == [KEYSPACE]
    assert slots_of_words(by_digest, [b"EVALSHA", hashlib.sha1(good).hexdigest().encode(), b"1", b"k"]) == key
    assert slots_of_words(by_digest, [b"EVALSHA", b"0" * 40, b"1", b"k"]) == [KEYSPACE]
    assert slots_of_words(function, [b"FCALL", b"f", b"1", b"k"]) == [KEYSPACE]
    believed = CommandTable(None, scripts_declare_keys=True)
    assert slots_of_words(believed.find(b"EVAL"), [b"EVAL", bad, b"1", b"k"]) == key
    assert slots_of_words(believed.find(b"FCALL"), [b"FCALL", b"f", b"1", b"k"]) == key


def test_what_its_text_says_of_its_keys_is_told() -> None:
    evaluate = TABLE.find(b"EVAL")
    assert evaluate.rule_for([b"EVAL", b"return 1", b"0"]).endswith("; its text proves that it touches only its keys")
    assert evaluate.rule_for([b"EVAL", b"return redis.call('GET', 'k')", b"0"]).endswith("so it counts as touching all")
    assert TABLE.find(b"GET").rule_for([b"GET", b"k"]) == TABLE.find(b"GET").rule


@pytest.mark.parametrize(
    ("name", "count", "places"),
    [
        (b"get", 2, [1]), (b"DEL", 4, [1, 2, 3]), (b"MSET", 5, [1, 3]), (b"RENAME", 3, [1, 2]), (b"RENAME", 2, None), (b"BLPOP", 4, [1, 2]), (b"TIME", 1, []),
        (b"SORT", 2, None), (b"EVAL", 3, None), (b"DBSIZE", 1, None), (b"FLUSHALL", 1, None), (b"XGROUP", 5, None), (b"NOSUCH", 2, None),
        (b"CLUSTERSCAN", 2, None),
        (b"BITOP", 4, [2, 3]), (b"SMOVE", 4, [1, 2]),
    ],
)  # fmt: skip
def test_the_table_knows_where_commands_have_keys(name: bytes, count: int, places: list[int] | None) -> None:
    assert TABLE.key_places(name, count) == places
