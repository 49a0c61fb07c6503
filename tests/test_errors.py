"""Every sentence is one RESP error, and says of a command whether it was executed."""

from __future__ import annotations

import pytest

from rproxy import errors

SENTENCES = {
    name: value for name, value in vars(errors).items() if isinstance(value, bytes) and name.isupper() and value.startswith(b"-")
}
REDIS_WORDS = {"TOO_MANY_CLIENTS", "NOAUTH", "HELLO_NOAUTH", "EXEC_NOAUTH", "NO_MULTI", "BAD_NAME", "WRONG_PASSWORD"}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_sentence_is_one_line(name: str) -> None:
    sentence = SENTENCES[name]
    assert sentence.endswith(b"\r\n") and sentence.count(b"\r\n") == 1
    assert sentence[1:].split(b" ")[0].isupper()


@pytest.mark.parametrize("name", sorted(SENTENCES.keys() - REDIS_WORDS))
def test_rproxys_own_sentences_name_it_and_say_whether_the_command_was_executed(name: str) -> None:
    sentence = SENTENCES[name]
    assert b"rproxy" in sentence
    assert (
        b"not executed" in sentence
        or b"may or may not have been executed" in sentence
        or b"the read was not answered" in sentence
    )


def test_what_clients_sent_cannot_break_a_line() -> None:
    for sentence in (errors.unknown_subcommand(b"a\r\nb"), errors.bad_option(b"a\r\nb")):
        assert sentence.count(b"\r\n") == 1
