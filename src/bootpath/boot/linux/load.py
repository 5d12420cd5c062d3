"""The decision on a Linux image: what boots, and why nothing else does. Every command shows this one.

The candidates for the root are tried one after the other, each by `candidate`.

A candidate is tried as a whole. `NextCandidate` says whether there is another try. If so, a root whose entries have
used up their tries waits until no other can be booted. Tries are not counted here: that is a write to the disk, by
renaming, and nothing is written.

Nothing raises for a boot that is refused: that is a result, with its reasons. Raises DeviceError when the disk cannot
be read at all, Error when a library for signatures is missing.
"""

from __future__ import annotations

from dataclasses import replace

from bootpath.boot.linux.candidate import CandidateLoader, Depth, MachineParameters, no_parameters
from bootpath.boot.linux.choice import LinuxRequest, NextCandidate, RefusalReason, order_roots
from bootpath.boot.linux.result import Attempt, LinuxBoot
from bootpath.boot.timeline import LOADER, Timeline
from bootpath.core.device import Device
from bootpath.core.errors import LimitError
from bootpath.core.limits import check_limit, spending
from bootpath.image.contents.nodes import Contents
from bootpath.image.contents.read import read_contents
from bootpath.image.roots.candidates import Candidate
from bootpath.image.verity.tree import Progress


def decide_linux(
    disk: Device, request: LinuxRequest, contents: Contents, progress: Progress | None = None
) -> LinuxBoot:
    """Decide, and read no more than that takes. See `load_linux`."""
    return load_linux(disk, request, Timeline(lambda: 0.0), contents=contents, depth=Depth.DECIDE, progress=progress)


def load_linux(
    disk: Device,
    request: LinuxRequest,
    timeline: Timeline,
    *,
    depth: Depth = Depth.LOAD,
    machine_parameters: MachineParameters = no_parameters,
    contents: Contents | None = None,
    progress: Progress | None = None,
) -> LinuxBoot:
    """Decide and load. The disk stays the caller's, who may have read its `contents` already.

    See the module docstring for what is raised.
    """
    with timeline.step(LOADER, "look at the disk") as step:
        contents = contents or read_contents(disk)
        step.detail = f"{len(contents.nodes())} places"
    with timeline.step(LOADER, "choose the root") as step:
        order = order_roots(contents, request)
        first = ", ".join(str(each.data.location) for each in order.candidates[:1])
        step.detail = first if order.refusal is None else str(order.refusal)
    attempts: list[Attempt] = []
    spent: list[Attempt] = []
    candidates: tuple[Candidate | None, ...] = order.candidates if order.refusal is None else ()
    if order.without_root:
        candidates = (None,)
    with spending():
        for number, candidate in enumerate(candidates, start=1):
            try:
                check_limit("boot_attempts", number, "too many candidates were tried")
            except LimitError as fault:
                attempts.append(Attempt(candidate, failure=RefusalReason.NOT_LOADED(fault)))
                break
            loader = CandidateLoader(disk, contents, request, order, depth, machine_parameters, timeline, progress)
            attempt = loader.attempt(candidate)
            if len(candidates) > 1 and _is_spent(attempt, request):
                spent.append(attempt)
                attempt = replace(attempt, plan=None, failure=RefusalReason.NO_TRIES_LEFT())
            attempts.append(attempt)
            if attempt.failure is None or request.next_candidate is NextCandidate.NEVER:
                break
        else:
            # "The boot loader should allow booting "bad" entries, e.g. in case no other entries are left".
            attempts += spent[:1]
    if order.without_root:
        if any(menu.entries or menu.excluded for each in attempts for menu in each.menus):
            order = replace(order, refusal=None)  # the entries, and what is wrong with them, say more
        else:
            attempts.clear()
    return LinuxBoot(disk.identity.name, contents, request, order, tuple(attempts))


def _is_spent(attempt: Attempt, request: LinuxRequest) -> bool:
    """True when the entry has no try left, the caller did not name it, and another candidate may be booted."""
    bad = attempt.plan is not None and attempt.plan.entry.entry.bad
    return bad and request.entry is None and request.next_candidate is NextCandidate.POLICY
