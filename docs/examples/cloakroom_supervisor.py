"""The same cloakroom under a supervisor: it comes back, with empty hooks."""

from cloakroom_actor import Cloakroom, Fetch, HangUp, UnknownNumber

# begin supervisor
from callboard.supervision import ActorSystem, ChildSpec, Supervisor

spec = ChildSpec(
    id="cloakroom",
    start=Cloakroom,
    kwargs={"hooks": 2},
    name="cloakroom",  # the address, which stays
    keeps_mailbox=True,  # what waits at a crash is served by the next incarnation
)

with ActorSystem() as system:
    system.spawn(Supervisor, [spec], intensity=3, period_s=5.0).wait_started()
    cloakroom = system.lookup("cloakroom")
    assert cloakroom is not None
    for coat in ("ada's coat", "bob's hat", "carl's cape"):
        try:
            print("number", cloakroom.ask(HangUp(coat)))
        except ValueError:
            print("crashed: no hook is free")
    print("number", cloakroom.ask(HangUp("carl's cape")), "in life 2")
    try:
        cloakroom.ask(Fetch(1))
    except UnknownNumber:
        print("bob's hat is gone")
# end supervisor
