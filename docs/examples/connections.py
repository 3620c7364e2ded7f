"""A session with a tool server, an agent and somebody who follows it, all in memory."""

from callboard.actors import (
    AddMcpClient,
    AgentSpec,
    AttachAgent,
    AttachClient,
    CallTool,
    Connectors,
    CreateSession,
    McpSpec,
    Prompt,
    SecretRef,
    SessionSystem,
)
from callboard.actors.testing import MemoryAgents, MemoryClient, MemoryMcp

connectors = Connectors(
    mcp=MemoryMcp({"greet": lambda given: f"hello {given['name']}"}),
    agents={"acp": MemoryAgents()},
)

with SessionSystem(connectors=connectors) as sessions:
    ada = sessions.ask(CreateSession(user_id="ada")).id
    # begin tools
    greetings = McpSpec(id="greetings", command=("greeter",), env={"MODE": "formal"})
    client = sessions.ask(AddMcpClient(ada, greetings))
    print(client.status, sessions.ask(CallTool(ada, "greetings", "greet", {"name": "ada"})))
    # end tools
    # begin agent
    agent = AgentSpec(command=("agent", "--acp"))
    sessions.ask(AttachAgent(ada, agent))
    answer = sessions.ask(Prompt(ada, "say it again"))
    print(answer.stop_reason, [each.content for each in sessions.messages(ada)])
    # end agent
    # begin follow
    phone = MemoryClient()
    sessions.ask(AttachClient(ada, sink=phone, after_seq=1))
    # end follow

# begin secrets
with_token = McpSpec(id="files", command=("files",), env={"TOKEN": SecretRef("FILES_TOKEN")})
# end secrets
