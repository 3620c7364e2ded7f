"""The bugs that could have been made are found. What finds none of them proves nothing."""

from __future__ import annotations

# A function that is named by its class, which is generic, is typed only in part.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
import pytest

from callboard.actors.storage.chain import DurableLedger, Pending
from callboard.actors.storage.journal import Journal
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.ending import EndingCell
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.handoff import HandOffCell
from callboard.supervision.runtime.idle import IdleWatch
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.mailbox import MailboxCell
from callboard.supervision.runtime.names import Address
from callboard.supervision.runtime.operations import Steps
from callboard.supervision.runtime.pool import Pool
from callboard.supervision.runtime.system import ActorSystem
from callboard.supervision.runtime.timers import Timer
from callboard.supervision.runtime.turns import TurningCell
from callboard.supervision.runtime.watcher import Watcher
from tests.interleaving import commits
from tests.interleaving.exploring import Broken
from tests.interleaving.planting import Bug, planted
from tests.interleaving.scenes import RACES

assert commits.__name__, "it adds its races to the others"

BUGS = {
    "it looks what waits before it says that nobody comes": Bug(
        "two senders and two workers",
        TurningCell,
        "_release",
        "self.is_scheduled = False\nself._look_again()\n",
        "self._look_again()\nself.is_scheduled = False\n",
    ),
    "it says that nobody comes before it has let go": Bug(
        "two senders and two workers",
        TurningCell,
        "_release",
        "self.baton[:] = BATON\nself.is_scheduled = False\n",
        "self.is_scheduled = False\nself.baton[:] = BATON\n",
    ),
    "it looks at the baton, and then takes it": Bug(
        "two senders and handlers that rest",
        TurningCell,
        "activate",
        "try:\n    del self.baton[0]\nexcept IndexError:\n    return\n",
        "if not self.baton:\n    return\nself.baton.clear()\n",
    ),
    "a sender does not look whether the mailbox was closed meanwhile": Bug(
        "a tell and a kill",
        Cell,
        "tell",
        "if self.items is not q:\n    self._take_back(q)\nelif not self.is_scheduled:\n",
        "if not self.is_scheduled:\n",
    ),
    "an asker does not look whether the mailbox was closed meanwhile": Bug(
        "an ask and a kill",
        MailboxCell,
        "_put",
        "if self.items is not q:\n",
        "if False:\n",
    ),
    "what waits at the end is left there": Bug(
        "a tell and a kill", EndingCell, "_give_up", "self._drain(q)\n", "pass\n"
    ),
    "the second of two first senders makes a mailbox of its own": Bug(
        "two first senders",
        MailboxCell,
        "_open_mailbox",
        "elif self.items is None:\n    self.items = q\n",
        "elif True:\n    self.items = q\n",
    ),
    "a hand-off does not look what came meanwhile": Bug(
        "a hand off and a send",
        HandOffCell,
        "hand_off",
        "try:\n    self._look_again()\nexcept BaseException:",
        "try:\n    pass\nexcept BaseException:",
    ),
    "a hand-off does not look who else is inside": Bug(
        "a hand off and a send",
        HandOffCell,
        "hand_off",
        "try:\n    del self.baton[0]\nexcept IndexError:\n    return NOT_DONE\n",
        "self.baton.clear()\n",
    ),
    "a bond is made without looking under the lock": Bug(
        "a bond and a death",
        Incarnation,
        "when_dead",
        "with self.system.rare:\n    if self.is_dead or (or_started and self.is_started):\n"
        "        return False\n",
        "if self.is_dead:\n    return False\nwith self.system.rare:\n",
    ),
    "a link does not look whether its maker died meanwhile": Bug(
        "a link and two deaths",
        EndingCell,
        "linked",
        "if self.is_dead:  # killed since\n",
        "if False:\n",
    ),
    "a waiter looks before it says that it waits": Bug(
        "two replies and a waiter",
        Future,
        "add_waiter",
        "self._waiters.append(wake)\nreturn not self._done or not self.remove_waiter(wake)\n",
        "if self._done:\n    return False\nself._waiters.append(wake)\nreturn True\n",
    ),
    "a listener is called, and told that it is not": Bug(
        "a reply and its deadline",
        Future,
        "add_waiter",
        "return not self._done or not self.remove_waiter(wake)\n",
        "if not self._done:\n    return True\nself.remove_waiter(wake)\nreturn False\n",
    ),
    "a waiter does not wait for a reply that is being set": Bug(
        "a reply and its deadline",
        Future,
        "_wait",
        "block(self, blocker.now_s() + _CLAIMED_S)\n",
        "return\n",
    ),
    "a killed handler leaves the answer to its killer": Bug(
        "a reply and the death of one who waits",
        TurningCell,
        "_failed",
        "self._refuse_in_hand(error, future)\n",
        "self.in_hand = None\n",
    ),
    "a worker that waits counts as one that stays": Bug(
        "a worker that goes and one that waits",
        Pool,
        "_may_go",
        "staying = sum(not each.is_waiting for each in self.workers)\n",
        "staying = len(self.workers)\n",
    ),
    "two workers go, each because the other stays": Bug(
        "a worker that goes and new work",
        Pool,
        "_may_go",
        "if staying <= self._settings.workers_min:\n    return False\n",
        "pass\n",
    ),
    "the watcher sleeps without a last look": Bug(
        "a watcher that falls asleep and new work",
        Watcher,
        "_run",
        "if not self._has_work():\n    self._bell.acquire(timeout=_NAP_S)\n",
        "self._bell.acquire(timeout=_NAP_S)\n",
    ),
    "a mailbox is found at the address before the incarnation has it": Bug(
        "a ref and an address and the next incarnation",
        Address,
        "open",
        "cell = self.cell\nif cell is not None and cell.reason is None:\n    cell.items = made\n",
        "self.items = made\ncell = self.cell\n"
        "if cell is not None and cell.reason is None:\n    cell.items = made\n",
    ),
    "a mailbox is given up without a look whether it is empty": Bug(
        "a kept mailbox and the next incarnation",
        Address,
        "leave",
        "if q is not None and q.qsize():\n    self.items = q\n",
        "pass\n",
    ),
    "what went into a mailbox given up is left there": Bug(
        "a kept mailbox and the next incarnation",
        Address,
        "_wait_in_line",
        "if self.items is q:\n    self.poke()\nelif not self.take_back(q):\n    self._drain(q)\n",
        "self.poke()\n",
    ),
    "a name is given back whoever has it by now": Bug(
        "a name that is given back twice and claimed",
        ActorSystem,
        "release",
        "if self.names.get(address.name) is address:\n",
        "if True:\n",
    ),
    "a name is given to the dead": Bug(
        "a name for one who dies",
        ActorSystem,
        "register",
        "if ref.when_dead(address, lambda _reason: self.release(address)):\n    return address\n",
        "_ = ref.when_dead(address, lambda _reason: self.release(address))\nreturn address\n",
    ),
    "a timer is looked at, and then cancelled": Bug(
        "a timer that goes off and is cancelled",
        Timer,
        "cancel",
        "act, self._act = self._act, None\n",
        "act = self._act\nself._act = None\n",
    ),
    "the timers' thread decides that an actor is idle": Bug(
        "an idle timeout and a message that sets it anew",
        IdleWatch,
        "_look",
        "cell.signal(self._decide)\n",
        "self._decide()\n",
    ),
    "a parent does not look what came while it looked": Bug(
        "a parent that waits and the deaths of two children",
        Steps,
        "has_missed",
        "return waiting != self._seen\n",
        "return False\n",
    ),
    "the mark of a session goes when its part is made": Bug(
        "commits of a session that is being taken",
        Journal,
        "take",
        "del marks[ledger]\npart = self._part(ledger)\n",
        "part = self._part(ledger)\ndel marks[ledger]\n",
    ),
    "what is handed in behind what was given up is given up too": Bug(
        "commits upon one that is not kept",
        DurableLedger,
        "give_up",
        "given_up = self.waiting(before=back)",
        "given_up = self.waiting()",
    ),
    "whoever comes too late to be told by the writer is told by nobody": Bug(
        "two who wait for a commit that is settled",
        Pending,
        "when_settled",
        "if self.is_settled and _took(acts, act):",
        "if False:",
    ),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_a_planted_bug_is_found(bug: Bug) -> None:
    with planted(bug), pytest.raises(Broken) as broken:
        RACES[bug.race].explore()

    print(f"\nfound by interleaving {broken.value.tries}")  # noqa: T201 -- how many is the result
    assert "went apart" not in str(broken.value)
