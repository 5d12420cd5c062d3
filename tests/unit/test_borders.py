"""Where any exception may be caught, and which calls raise what nobody expects of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.unit.test_structure import MODULES, PACKAGE

BROAD = {"Exception", "BaseException"}

BORDERS = {
    "cli/main.py:run_command": "a command's: whatever it is becomes a line and an exit code",
    "boot/guest/processes.py:_obey": "a process of a guest's: nobody else would print it",
    "serve/server/forkserver.py:_end_after": "a forked process': it ends, and nothing of its parent's is run",
    "serve/server/loop.py:Loop.run": "a connection's: a fault with one client does not end the others",
    "serve/monitor/web.py:_Request._response": "a page's: the page fails, the server does not",
    "serve/monitor/exchange.py:Exchange._work": "a thread's: a fault with one client does not end the page",
    "serve/nbd/fastpath.py:make_fastpath": "a batch's: the slow path meets the fault again, and answers it",
    "serve/nbd/session.py:Session.execute": "a request's: it fails, the connection does not",
    "serve/nbd/session.py:Session._job": "a worker's: the request fails, the server does not",
    "serve/nbd/session.py:Session._piece_job": "a worker's: the request fails, the server does not",
    "fs/redox/mounting.py:Mount._serve": "a thread's: the caller's thread raises it",
    "block/leaves/nbdconnection.py:NbdConnection._read_replies": "a thread's: whoever waits fails, and is not left",
}
"""Handlers that take any exception and do not raise it again, and whose border each is."""

SURPRISING = {
    "resolve": "Path.resolve raises RuntimeError for links in a circle (before Python 3.13): os.path.realpath does not",
    "urlsplit": "ValueError for brackets: block.leaves.urls.split_url",
}
CAREFUL = {
    "block/leaves/urls.py:split_url",
    "formats/nbd/uri.py:parse_nbd_uri",
    "serve/monitor/web.py:StatusServer.is_ours",
}
"""Functions that catch what those raise."""


def functions(node: ast.AST, name: str = "") -> Iterator[tuple[str, ast.AST]]:
    """What stands in a function, by the name of the outermost function or method."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from functions(child, f"{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}{child.name}", child
        else:
            yield from functions(child, name)


def found() -> Iterator[tuple[str, ast.AST]]:
    for path in MODULES:
        for name, function in functions(ast.parse(path.read_text())):
            for node in ast.walk(function):
                yield f"{path.relative_to(PACKAGE)}:{name}", node


def swallows(node: ast.AST) -> bool:
    """A handler of any exception that does not end by raising it."""
    if isinstance(node, ast.Call) and _called(node) == "suppress":
        return bool(_names(node) & BROAD)
    if not isinstance(node, ast.ExceptHandler):
        return False
    last = node.body[-1]
    raises = isinstance(last, ast.Raise) and last.exc is None
    return not raises and bool((_names(node.type) if node.type else BROAD) & BROAD)


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def test_any_exception_is_caught_at_borders_only() -> None:
    assert {place for place, node in found() if swallows(node)} == set(BORDERS)
    assert all(BORDERS.values())


def test_calls_that_raise_what_nobody_expects() -> None:
    calls = [(place, node) for place, node in found() if isinstance(node, ast.Call) and _called(node) in SURPRISING]
    assert {place for place, node in calls if _called(node) != "resolve" or not node.args} == CAREFUL


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))
