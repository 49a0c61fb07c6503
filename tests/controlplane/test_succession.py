"""Who leads, with discovery by roles: the rule as a table, and in a model of servers that are promoted, killed and moved at random."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rproxy.controlplane.succession import Claim, Doubt, Ruling, Succession, View
from rproxy.dataplane.topology import Server

OLD, A, B, C = servers = tuple(Server(index, "10.0.0.1", 6379 + index) for index in range(4))
BUDGET = 1.5


def leads(data: str, former: str = "", left_at: int = 0, **more: bool) -> View:
    return View(Claim.LEADER, data, former, left_at, **more)


def follows(data: str, former: str = "", left_at: int = 0, link_up: bool = True, **more: bool) -> View:
    return View(Claim.REPLICA, data, former, left_at, link_up, **more)


SILENT, MUTE, UNHEARD = View(Claim.SILENT), View(Claim.MUTE), View()
NEW = leads("two", "one", 100)
"""A replica of OLD that was promoted at offset 100."""


class Story:
    """A rule, and what it has heard. `old`, `a`, `b`, `c` are what the servers say; what isn't given stays as it was."""

    def __init__(self, *views: View, proven: tuple[str, int] = ("", 0)) -> None:
        self.rule = Succession(servers, BUDGET)
        self.proven = proven
        self.now = 0.0
        self.views = dict(zip(servers, views, strict=True))
        self.last = self.rule.decide(self.views, proven, 0.0)

    def hear(self, old: View | None = None, a: View | None = None, b: View | None = None, c: View | None = None) -> Ruling:
        self.views |= {server: view for server, view in zip(servers, (old, a, b, c), strict=True) if view is not None}
        return self.wait(0.01)

    def wait(self, seconds: float) -> Ruling:
        self.now += seconds
        self.last = self.rule.decide(self.views, self.proven, self.now)
        return self.last

    @property
    def leader(self) -> Server | None:
        return self.last.leader if self.last.doubt is Doubt.NONE else None


@pytest.fixture
def story() -> Story:
    """OLD leads, the others follow it."""
    story = Story(leads("one"), follows("one"), follows("one"), follows("one"))
    assert story.leader is OLD
    return story


@pytest.mark.parametrize(
    ("views", "leader", "doubt"),
    [
        ((leads("one"), follows("one"), follows("one"), follows("one")), OLD, Doubt.NONE),
        ((leads("one"), SILENT, SILENT, SILENT), OLD, Doubt.NONE),
        ((MUTE, MUTE, MUTE, MUTE), OLD, Doubt.NONE),
        ((leads("one"), UNHEARD, follows("one"), follows("one")), OLD, Doubt.STARTING),
        ((follows("two"), leads("two"), follows("two"), follows("two")), A, Doubt.NONE),
        ((SILENT, leads("two"), follows("two"), SILENT), A, Doubt.NONE),
        ((SILENT, leads("two"), leads("three"), follows("two")), A, Doubt.NONE),
        ((SILENT, leads("two"), leads("three"), SILENT), OLD, Doubt.NOBODY),
        ((follows("three"), leads("two"), leads("three"), follows("two")), OLD, Doubt.NOBODY),
        ((SILENT, leads("two"), SILENT, SILENT), OLD, Doubt.NOBODY),
        ((SILENT, NEW, SILENT, SILENT), A, Doubt.NONE),
        ((SILENT, NEW, follows("one", link_up=False), SILENT), A, Doubt.NONE),
        ((SILENT, NEW, follows("three", link_up=False), SILENT), OLD, Doubt.NOBODY),
        ((follows("one"), follows("one"), follows("one"), SILENT), OLD, Doubt.NOBODY),
        ((SILENT, SILENT, SILENT, SILENT), OLD, Doubt.NOBODY),
        ((leads("one"), leads("two"), leads("three"), follows("two")), OLD, Doubt.NONE),
        ((leads("one"), NEW, follows("two"), follows("one")), OLD, Doubt.SPLIT),
    ],
)
def test_at_the_start(views: tuple[View, ...], leader: Server, doubt: Doubt) -> None:
    story = Story(*views)
    assert (story.last.leader, story.last.doubt) == (leader, doubt)


def test_at_the_start_the_first_server_is_waited_for_and_leads_when_it_comes() -> None:
    story = Story(SILENT, follows("one", link_up=False), SILENT, SILENT)
    assert story.leader is None
    assert story.hear(old=leads("three")).doubt is Doubt.NONE and story.leader is OLD


@pytest.mark.parametrize(
    ("said", "leader", "doubt"),
    [
        ({"old": leads("one")}, OLD, Doubt.NONE),
        ({"old": MUTE}, OLD, Doubt.NONE),
        ({"old": leads("three")}, OLD, Doubt.NONE),
        ({"old": SILENT}, OLD, Doubt.SILENT),
        ({"old": follows("one")}, OLD, Doubt.DEMOTED),
        ({"old": leads("one", fresh=False)}, OLD, Doubt.ASKED),
        ({"old": SILENT, "a": NEW}, A, Doubt.NONE),
        ({"old": follows("one"), "a": NEW}, A, Doubt.NONE),
        ({"old": follows("one"), "a": replace(NEW, fresh=False)}, OLD, Doubt.DEMOTED),
        ({"old": SILENT, "a": replace(NEW, sound=False)}, OLD, Doubt.SILENT),
        ({"old": leads("one"), "a": NEW}, OLD, Doubt.SPLIT),
        ({"old": MUTE, "a": NEW}, OLD, Doubt.NONE),
        ({"old": SILENT, "a": NEW, "b": leads("three", "one", 90)}, OLD, Doubt.SPLIT),
        ({"old": SILENT, "a": leads("two")}, OLD, Doubt.SILENT),
        ({"old": SILENT, "a": leads("two", "other", 500)}, OLD, Doubt.SILENT),
        ({"old": follows("two"), "a": leads("two")}, OLD, Doubt.DEMOTED),
        ({"old": follows("two"), "a": leads("two"), "b": follows("two"), "c": follows("two")}, A, Doubt.NONE),
        ({"old": SILENT, "a": leads("two"), "b": follows("two"), "c": SILENT}, A, Doubt.NONE),
        ({"old": SILENT, "a": leads("two"), "b": follows("two"), "c": follows("one", link_up=False)}, OLD, Doubt.SILENT),
    ],
)
def test_the_rule(story: Story, said: dict[str, View], leader: Server, doubt: Doubt) -> None:
    ruling = story.hear(**said)
    assert (ruling.leader, ruling.doubt) == (leader, doubt)


@pytest.mark.parametrize(("left_at", "leader"), [(99, OLD), (100, A), (101, A)])
def test_a_successor_has_all_that_was_proved_to_be_on_a_replica(story: Story, left_at: int, leader: Server) -> None:
    story.proven = ("one", 100)
    assert story.hear(old=SILENT, a=leads("two", "one", left_at)).leader is leader
    if leader is OLD:
        assert story.last.others[A] == "it says that it leads, but lacks 1 bytes of 10.0.0.1:6379's data that a replica had"


def test_what_was_proved_of_other_data_sets_no_limit(story: Story) -> None:
    story.proven = ("three", 10_000)
    assert story.hear(old=SILENT, a=NEW).leader is A


def test_one_that_lacks_proved_bytes_leads_when_nobody_who_had_them_is_left(story: Story) -> None:
    story.proven = ("one", 150)
    assert story.hear(old=SILENT, a=NEW, b=follows("one", link_up=False)).leader is OLD
    assert story.hear(b=follows("two")).leader is OLD, "c may have them"
    assert story.hear(c=follows("two", link_up=False)).leader is OLD
    ruling = story.hear(c=follows("two"))
    assert (ruling.leader, ruling.lost) == (A, 50)


def test_a_chain_of_promotions_is_followed_by_what_replicas_tell_of_it(story: Story) -> None:
    story.hear(old=SILENT, a=SILENT)
    assert story.hear(c=follows("two", "one", 90)).leader is OLD, "c has followed a's promotion, which nobody saw"
    assert story.hear(b=leads("three", "two", 120)).leader is B


def test_a_chain_that_lacks_proved_bytes_is_no_succession(story: Story) -> None:
    story.proven = ("one", 100)
    story.hear(old=SILENT, a=SILENT, c=follows("two", "one", 90, link_up=False))
    assert story.hear(b=leads("three", "two", 120)).doubt is Doubt.SILENT


def test_the_furthest_switch_that_anybody_tells_counts(story: Story) -> None:
    story.proven = ("one", 100)
    story.hear(a=leads("two", "one", 105), b=follows("two", "one", 90))
    assert story.hear(old=SILENT).leader is A


def test_a_switch_that_was_told_shorter_before_counts_as_far_as_it_is_told_then(story: Story) -> None:
    story.proven = ("one", 100)
    story.hear(a=SILENT, b=follows("two", "one", 90))
    story.hear(a=leads("two", "one", 105))
    assert story.hear(old=SILENT).leader is A


@pytest.mark.parametrize("unproven", ["a", "b"])
def test_one_that_all_follow_is_not_followed_before_all_of_them_have_proved_well(story: Story, unproven: str) -> None:
    story.proven = ("one", 150)
    said = {"old": SILENT, "a": NEW, "b": follows("two"), "c": follows("two")}
    story.hear(**said | {unproven: replace(said[unproven], sound=False)})
    assert story.last.doubt is Doubt.SILENT
    assert story.hear(**said).leader is A


def test_two_that_lead_are_given_the_budget_to_agree(story: Story) -> None:
    story.hear(a=NEW)
    assert story.wait(BUDGET - 0.1).doubt is Doubt.SPLIT and story.last.rivals == (OLD, A)
    assert story.hear(old=follows("one")).leader is A and story.leader is A


def test_of_two_that_lead_the_one_that_most_replicas_follow_is_followed(story: Story) -> None:
    story.hear(a=NEW, b=follows("two"))
    assert story.leader is None
    story.hear(c=follows("two"))
    assert story.leader is A, "at once: replicas do not go back"
    assert "most replicas follow this one (2)" in story.last.moved
    assert story.hear(b=follows("one")).leader is A, "OLD is unrelated from now on"
    assert story.last.others[OLD] == "it says that it leads, and its data is not that of 10.0.0.1:6380"


def test_of_two_that_lead_the_leader_stays_when_most_replicas_do(story: Story) -> None:
    story.hear(a=NEW, b=follows("two"))
    story.hear(b=follows("one"))
    story.wait(BUDGET)
    assert story.leader is OLD
    assert story.last.others[A] == "it says that it leads, but so does 10.0.0.1:6379, whose data it continues"
    assert story.hear(b=follows("two"), c=follows("two")).leader is A, "replicas have moved on"


def test_without_a_majority_nobody_leads_until_there_is_one(story: Story) -> None:
    story.hear(a=NEW, b=follows("two"))
    assert story.wait(BUDGET).doubt is Doubt.TIE and story.wait(3600).doubt is Doubt.TIE
    assert "none of them is followed by more replicas" in story.last.words and "10.0.0.1:6380" in story.last.words
    assert story.hear(a=replace(NEW, sound=False)).doubt is Doubt.TIE, "one failed probe does not make it go away"
    assert story.hear(c=follows("two"), a=NEW).leader is A


def test_the_one_that_most_follow_is_not_followed_before_it_has_proved_well(story: Story) -> None:
    story.hear(a=replace(NEW, sound=False), b=follows("two"), c=follows("two"))
    assert story.wait(BUDGET).doubt is Doubt.SPLIT
    assert story.hear(a=NEW).leader is A


def test_of_two_servers_the_leader_stays_when_the_other_one_claims_to_lead_too() -> None:
    rule = Succession((OLD, A), BUDGET)
    rule.decide({OLD: leads("one"), A: follows("one")}, ("", 0), 0.0)
    views = {OLD: leads("one"), A: NEW}
    assert rule.decide(views, ("", 0), 1.0).doubt is Doubt.SPLIT
    ruling = rule.decide(views, ("", 0), 1.0 + BUDGET)
    assert (ruling.leader, ruling.doubt) == (OLD, Doubt.NONE)
    ruling = rule.decide({OLD: SILENT, A: NEW}, ("", 0), 9.0)
    assert (ruling.leader, ruling.doubt) == (A, Doubt.NONE), "as soon as the leader says no more that it leads"


def test_a_claim_that_was_heard_and_not_followed_does_not_stop_writes_again(story: Story) -> None:
    story.hear(a=NEW)
    story.wait(BUDGET)
    assert story.leader is OLD
    for _ in range(3):
        assert story.hear(a=follows("one")).leader is OLD
        assert story.hear(a=NEW).doubt is Doubt.NONE and story.leader is OLD
    assert story.hear(b=follows("two"), c=follows("two")).leader is A, "it is heard again when replicas follow it"


def test_what_is_said_of_one_that_all_follow_and_that_lacks_bytes_says_so(story: Story) -> None:
    story.proven = ("one", 201)
    story.hear(a=NEW, b=follows("two"), c=follows("two"))
    assert story.leader is OLD
    assert "lacks 101 bytes" in story.last.others[A] and "2 replicas behind it all the same" in story.last.others[A]


def test_replicas_without_a_link_have_no_say(story: Story) -> None:
    story.hear(a=NEW, b=follows("one", link_up=False), c=follows("one", link_up=False))
    assert story.wait(BUDGET).doubt is Doubt.TIE


def test_a_new_quarrel_has_a_budget_of_its_own(story: Story) -> None:
    story.hear(a=NEW)
    story.wait(1.0)
    assert story.hear(a=follows("one")).doubt is Doubt.NONE
    story.wait(1.0)
    assert story.hear(a=NEW).doubt is Doubt.SPLIT


def test_a_quarrel_with_the_next_leader_has_a_budget_of_its_own(story: Story) -> None:
    story.hear(a=NEW, b=follows("two"), c=follows("two"))
    assert story.wait(BUDGET).leader is A
    assert story.hear(b=leads("three", "two", 200)).doubt is Doubt.SPLIT


def test_a_leader_that_has_restarted_empty_stays_and_still_has_successors_of_its_old_data(story: Story) -> None:
    assert story.hear(old=leads("zero"), b=follows("one", link_up=False), c=follows("one", link_up=False)).doubt is Doubt.NONE
    assert story.hear(a=NEW).doubt is Doubt.SPLIT
    story.hear(b=follows("two"))
    assert story.wait(BUDGET).leader is A


def test_its_old_data_is_forgotten_when_a_replica_has_the_new(story: Story) -> None:
    story.hear(old=leads("zero"), b=follows("zero"))
    assert story.hear(a=NEW).doubt is Doubt.NONE
    assert story.hear(old=SILENT).doubt is Doubt.SILENT


def test_an_old_leader_that_comes_back_leading_never_leads_again(story: Story) -> None:
    story.hear(old=SILENT, a=NEW)
    for back in (leads("one"), leads("zero", "one", 500), leads("zero")):
        assert story.hear(old=back).leader is A and story.last.doubt is Doubt.NONE
    assert story.hear(a=SILENT).doubt is Doubt.SILENT and story.last.leader is A


def test_an_old_leader_that_has_followed_may_be_promoted_again(story: Story) -> None:
    story.hear(old=SILENT, a=NEW)
    story.hear(old=follows("two", "one", 100))
    assert story.hear(old=leads("three", "two", 200), a=follows("two")).leader is OLD and story.leader is OLD


# A model of servers. Each operation is what an operator, Sentinel or a crash may do; probes see all servers at once or one at a time.


@dataclass
class Node:
    data: str
    offset: int = 0
    former: str = ""
    left_at: int = 0
    alive: bool = True
    of: int = -1
    linked: bool = False
    root: str = "ours"

    def view(self) -> View:
        if not self.alive:
            return SILENT
        if self.of < 0:
            return leads(self.data, self.former, self.left_at)
        return follows(self.data, self.former, self.left_at, self.linked)


class Model:
    """Three servers with one leader's data, and a fourth of its own."""

    def __init__(self) -> None:
        self.nodes = [Node("id0"), *(Node("id0", of=0, linked=True) for _ in range(2)), Node("stranger", root="theirs")]
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"id{self.count}"

    def apply(self, operation: str, which: int, other: int) -> None:
        node = self.nodes[which]
        match operation:
            case "write":
                if node.of < 0 and node.alive:
                    node.offset += 10
            case "sync":
                self.sync(node)
            case "kill":
                node.alive = False
            case "revive":
                node.alive = True
            case "promote" if node.of >= 0 and node.alive and node.root == "ours":
                node.former, node.left_at, node.data, node.of = node.data, node.offset, self.name(), -1
            case "move" if node.alive and node.root == "ours" and other != which and self.nodes[other].root == "ours":
                node.of, node.linked = other, False
        for each in self.nodes:
            if each.of >= 0 and not self.nodes[each.of].alive:
                each.linked = False

    def sync(self, node: Node) -> None:
        if node.of < 0 or not node.alive or not self.nodes[node.of].alive:
            return
        source = self.nodes[node.of]
        if source.of >= 0 and not source.linked:
            return
        if node.data != source.data:
            if node.data == source.former and node.offset <= source.left_at:
                node.former, node.left_at = node.data, node.offset
            else:
                node.former, node.left_at = "", 0
            node.data = source.data
        node.offset, node.linked = source.offset, True


operations = st.tuples(
    st.sampled_from(["write", "sync", "sync", "kill", "revive", "promote", "move"]), st.integers(0, 3), st.integers(0, 3)
)


@settings(max_examples=300)
@given(st.lists(st.tuples(operations, st.sets(st.integers(0, 3))), max_size=60))
def test_in_any_history_the_leader_has_our_data_says_that_it_leads_and_changes_only_when_the_one_before_gave_up(
    history: list[tuple[tuple[str, int, int], set[int]]],
) -> None:
    model = Model()
    views = {server: model.nodes[server.index].view() for server in servers}
    rule = Succession(servers, BUDGET)
    before = rule.decide(views, ("", 0), 0.0)
    assert before.leader is OLD and before.doubt is Doubt.NONE
    for step, (operation, probed) in enumerate(history, start=1):
        model.apply(*operation)
        views |= {servers[index]: model.nodes[index].view() for index in probed}
        ruling = rule.decide(views, ("", 0), step * 0.4)
        assert ruling.leader is not C, "the stranger leads"
        assert ruling.doubt is not Doubt.NONE or views[ruling.leader].claim is Claim.LEADER
        if ruling.leader is not before.leader:
            assert views[ruling.leader].claim is Claim.LEADER
            contested = views[before.leader].claim is Claim.LEADER
            assert not contested or before.doubt in (Doubt.SPLIT, Doubt.TIE) or before.others
        before = ruling


@settings(max_examples=100)
@given(st.lists(operations, max_size=40), st.integers(0, 2))
def test_after_any_history_one_that_all_follow_leads(history: list[tuple[str, int, int]], chosen: int) -> None:
    model = Model()
    rule = Succession(servers, BUDGET)
    now = 0.0
    for operation in (*history, ("write", 0, 0)):
        model.apply(*operation)
        now += 0.1
        rule.decide({server: model.nodes[server.index].view() for server in servers}, ("", 0), now)
    for node in model.nodes[:3]:
        node.alive = True
    final = model.nodes[chosen]
    if final.of >= 0:
        model.apply("promote", chosen, 0)
    for index in range(3):
        model.apply("move", index, chosen) if index != chosen else None
    for _ in range(3):
        for node in model.nodes[:3]:
            model.sync(node)
    for _ in range(4):
        now += BUDGET
        ruling = rule.decide({server: model.nodes[server.index].view() for server in servers}, ("", 0), now)
    assert (ruling.leader, ruling.doubt) == (servers[chosen], Doubt.NONE)


def test_the_leader_is_followed_to_another_name_when_its_own_leads_elsewhere(story: Story) -> None:
    story.hear(old=follows("one"), a=leads("one"))
    assert story.leader is A
    assert "continues its data" in story.last.moved


def test_a_first_server_that_is_another_one_too_is_passed_over() -> None:
    rule = Succession((OLD, B), BUDGET)
    rule.change((A, OLD, B), BUDGET, {OLD: OLD, B: B})
    assert rule.decide({OLD: leads("one"), B: follows("one")}, ("", 0), 0.0).leader is OLD  # A is the same process as OLD


TELLS_ROLE, LEADS_UNTOLD = View(Claim.REPLICA), View(Claim.LEADER)
"""What is known of servers that tell their role alone."""


def test_where_nobody_tells_what_data_it_holds_the_only_one_that_leads_is_followed() -> None:
    story = Story(LEADS_UNTOLD, TELLS_ROLE, TELLS_ROLE, TELLS_ROLE)
    assert story.leader is OLD
    story.hear(old=TELLS_ROLE)
    assert story.leader is None and story.last.doubt is Doubt.DEMOTED
    story.hear(a=LEADS_UNTOLD)
    assert story.leader is A
    assert story.last.moved == f"{OLD.name} says that it is a replica, and this is the only one that says that it leads"


def test_where_nobody_tells_what_data_it_holds_and_two_lead_nobody_is_followed() -> None:
    story = Story(LEADS_UNTOLD, TELLS_ROLE, TELLS_ROLE, TELLS_ROLE)
    story.hear(old=SILENT, a=LEADS_UNTOLD, b=LEADS_UNTOLD)
    assert story.leader is None


def test_where_nobody_tells_what_data_it_holds_the_leader_stays_while_it_leads() -> None:
    story = Story(LEADS_UNTOLD, TELLS_ROLE, TELLS_ROLE, TELLS_ROLE)
    story.hear(a=LEADS_UNTOLD)
    assert story.leader is OLD


def test_at_the_start_the_only_one_that_leads_is_found_where_nobody_tells_more() -> None:
    assert Story(TELLS_ROLE, LEADS_UNTOLD, TELLS_ROLE, SILENT).leader is A
    assert Story(TELLS_ROLE, LEADS_UNTOLD, LEADS_UNTOLD, SILENT).leader is None
    assert Story(TELLS_ROLE, LEADS_UNTOLD, follows("one"), SILENT).leader is None
