"""A daemon on an event loop with sessions inside."""

import asyncio
import os
import signal

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem


# begin main
async def main() -> int:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)

    async with SessionSystem() as sessions:
        visitor = asyncio.create_task(visit(sessions, "ada"))
        gave_up = asyncio.create_task(sessions.ended())
        told = asyncio.create_task(told_to_stop.wait())
        await asyncio.wait({gave_up, told}, return_when=asyncio.FIRST_COMPLETED)
        visitor.cancel()
        return 70 if gave_up.done() else 0


async def visit(sessions: SessionSystem, user: str) -> None:
    session = await sessions.ask_async(CreateSession(user_id=user))
    message = AppendMessage(session.id, Role.USER, "hello")
    print(await sessions.ask_async(message, timeout=2.0))
    os.kill(os.getpid(), signal.SIGTERM)  # this example has nothing else to do


# end main

if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
