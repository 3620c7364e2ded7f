"""An ASGI application with sessions inside, for as long as it lives."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from litestar import Litestar, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from callboard.actors import AppendMessage, CreateSession, Role, SessionError, SessionSystem


# begin app
@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    async with SessionSystem() as sessions:
        app.state.sessions = sessions
        gave_up = asyncio.create_task(sessions.ended())
        gave_up.add_done_callback(lambda _end: app.state.stop())  # it does not come back
        try:
            yield
        finally:
            app.state.exit_code = 70 if gave_up.done() else 0
            gave_up.cancel()


@post("/sessions")
async def create(state: State) -> str:
    sessions: SessionSystem = state.sessions
    return (await sessions.ask_async(CreateSession())).id


@post("/sessions/{session_id:str}/messages")
async def say(state: State, session_id: FromPath[str], data: JSONBody[str]) -> int | None:
    sessions: SessionSystem = state.sessions
    try:
        return await sessions.ask_async(AppendMessage(session_id, Role.USER, data), timeout=2.0)
    except SessionError:
        return None


# end app


# begin main
def main() -> int:
    app = Litestar([create, say], lifespan=[lifespan], logging_config=None)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    app.state.stop = lambda: setattr(server, "should_exit", True)
    listener = socket.create_server(("127.0.0.1", 0))
    app.on_startup.append(lambda: visit(app, listener.getsockname()[1]))
    server.run(sockets=[listener])
    return int(app.state.exit_code)


# end main


def visit(app: Litestar, port: int) -> None:
    async def come() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            session_id = (await client.post("/sessions")).text
            said = await client.post(f"/sessions/{session_id}/messages", json="hello")
            print(f"message {said.text}")
        app.state.stop()  # this example has nothing else to do

    app.state.visitor = asyncio.create_task(come())


if __name__ == "__main__":
    raise SystemExit(main())
