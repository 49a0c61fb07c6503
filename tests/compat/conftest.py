"""Fixtures of the compatibility tests: the same servers and proxies as in the integration tests."""

from tests.integration.conftest import eventual_proxy, leader_proxy, proxy, servers, started, strict

__all__ = ["eventual_proxy", "leader_proxy", "proxy", "servers", "started", "strict"]
