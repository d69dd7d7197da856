"""Vapi's own package against the simulator.

Needs the packages `vapi_server_sdk` and `websockets` and the environment that `tests/it/sim/sdk.rs`
sets. The package takes whatever it is answered, so every answer and every message is also read by
the package's own types with all their rules. Every check prints one line; the last line counts
them, and any failure makes the exit code 1.
"""

import json
import os
import queue
import sys
import threading
import time
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pydantic
from checks import run
from vapi import Vapi
from vapi import types
from vapi.core.api_error import ApiError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SIM_URL = os.environ["SIM_URL"]
KEY = os.environ["SIM_VAPI_KEY"]
ASSISTANT = os.environ["SIM_VAPI_ASSISTANT"]
DEADLINE_S = 20
MULAW = {"format": "mulaw", "container": "raw", "sampleRate": 8000}
# A request for a call must never be sent twice.
ONCE = {"max_retries": 0}

# 20 ms in mu-law: the pitch that says "do not call me again", and nothing.
REFUSAL = (b"\x10" * 8 + b"\x90" * 8) * 10
SILENCE = b"\xff" * 160

CLIENT_TYPES = {
    "status-update": None,
    "speech-update": types.ClientMessageSpeechUpdate,
    "transcript": types.ClientMessageTranscript,
    "conversation-update": types.ClientMessageConversationUpdate,
    "user-interrupted": types.ClientMessageUserInterrupted,
    "tool-calls": types.ClientMessageToolCalls,
}
SERVER_TYPES = {
    "status-update": types.ServerMessageStatusUpdate,
    "tool-calls": types.ServerMessageToolCalls,
    "end-of-call-report": types.ServerMessageEndOfCallReport,
}

for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
    os.environ.pop(name, None)


def read(report, what, kind, value):
    """`value` as the package's type `kind`, checked field by field."""
    try:
        return kind.model_validate(value)
    except pydantic.ValidationError as error:
        report.check(f"{what} is read as {kind.__name__}", False, str(error)[:2000])
        return None


def known(model, field):
    """The values that the package knows for a field of a message."""

    def literals(kind):
        if typing.get_origin(kind) is typing.Literal:
            return set(typing.get_args(kind))
        return {value for part in typing.get_args(kind) for value in literals(part)}

    return literals(model.model_fields[field].annotation)


class Account:
    """The package's client, and the bodies that it was answered with."""

    def __init__(self, key=KEY):
        self.bodies = []

        def keep(response):
            response.read()
            self.bodies.append(response.json())

        http = httpx.Client(event_hooks={"response": [keep]}, timeout=DEADLINE_S, trust_env=False)
        self.client = Vapi(token=key, base_url=SIM_URL, httpx_client=http)

    def create(self, **options):
        transport = {"provider": "vapi.websocket", "audioFormat": MULAW}
        return self.client.calls.create(
            assistant_id=ASSISTANT, transport=transport, request_options=ONCE, **options
        )


class Server:
    """Takes what the assistant tells its server."""

    def __init__(self):
        self.told = queue.Queue()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.told.put(json.loads(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}/vapi"

    def until_report(self):
        """Everything told up to the report and the end: messages come in any order."""
        told = []
        while True:
            kinds = [(it["message"]["type"], it["message"].get("status")) for it in told]
            if ("end-of-call-report", None) in kinds and ("status-update", "ended") in kinds:
                return told
            told.append(self.told.get(timeout=DEADLINE_S))


def send(socket, message):
    """Sends, also when the assistant has just closed: what it said before is still to be read."""
    try:
        socket.send(message)
    except ConnectionClosed:
        pass


def converse(url):
    """Holds the conversation as a caller who wants no more calls; what the socket said."""
    texts, n_bytes, has_asked = [], 0, False
    deadline = time.monotonic() + DEADLINE_S
    with connect(url, proxy=None) as socket:
        try:
            while time.monotonic() < deadline:
                received = socket.recv(timeout=DEADLINE_S)
                if isinstance(received, bytes):
                    n_bytes += len(received)
                    # The assistant's stream goes on by itself, so it is the clock.
                    asks = has_asked and not any(it["type"] == "tool-calls" for it in texts)
                    phase = time.monotonic() % 1.0
                    send(socket, REFUSAL if asks and phase < 0.5 else SILENCE)
                    continue
                message = json.loads(received)
                texts.append(message)
                if message["type"] == "transcript" and message["role"] == "assistant":
                    has_asked = True
                if message["type"] == "tool-calls":
                    send(socket, tool_result("do_not_call"))
        except ConnectionClosed:
            pass
    return texts, n_bytes


def tool_result(name):
    """What a client says of a tool without a server, in the package's own words."""
    message = types.ClientInboundMessageAddMessage(
        message=types.OpenAiMessage(role="system", content=f"The tool {name} was used: noted."),
        trigger_response_enabled=True,
    )
    return json.dumps({"type": "add-message", **message.model_dump(by_alias=True, exclude_none=True)})


def check_requests(report):
    account = Account()
    call = account.create(name="spring-42", assistant_overrides={"variableValues": {"name": "Ann"}})
    report.check("a created call is a call", isinstance(call, types.Call), type(call))
    report.check("it waits for its socket", call.status == "queued", call.status)
    report.check("it is one over a socket", call.type == "vapi.websocketCall", call.type)
    report.check("its socket is told", call.transport.websocketCallUrl.startswith("ws://"))
    report.check("it has its name", call.name == "spring-42", call.name)
    read(report, "a created call", types.Call, account.bodies[-1])

    found = account.client.calls.get(call.id)
    report.check("it is found", (found.id, found.status) == (call.id, "queued"), found)
    read(report, "a found call", types.Call, account.bodies[-1])
    renamed = account.client.calls.update(call.id, name="summer-7")
    report.check("it can be renamed", renamed.name == "summer-7", renamed.name)
    read(report, "a renamed call", types.Call, account.bodies[-1])

    other = account.create()
    listed = account.client.calls.list()
    report.check("all are listed, newest first", [it.id for it in listed] == [other.id, call.id])
    for shown in account.bodies[-1]:
        read(report, "a listed call", types.Call, shown)
    few = account.client.calls.list(limit=1, assistant_id=ASSISTANT)
    report.check("as many as wanted", [it.id for it in few] == [other.id], few)
    older = account.client.calls.list(created_at_lt=other.created_at, id=call.id)
    report.check("those of a time", [it.name for it in older] in (["summer-7"], []), older)
    nobody = account.client.calls.list(assistant_id="0a000000-0000-4000-8000-0000000000ff")
    report.check("none of another assistant", nobody == [], nobody)

    assistant = account.client.assistants.get(ASSISTANT)
    report.check("the assistant is shown", assistant.id == ASSISTANT, assistant)
    report.check("with its prompt", assistant.model.messages[0].role == "system", assistant.model)
    read(report, "the assistant", types.Assistant, account.bodies[-1])


def check_refusals(report):
    account = Account()

    def refuses(what, status, action):
        try:
            action()
        except ApiError as refusal:
            told = (refusal.status_code, refusal.body["statusCode"])
            report.check(what, told == (status, status), refusal)
        else:
            report.check(what, False, "nothing was raised")

    refuses("a wrong key is refused", 401, lambda: Account("wrong").create())
    refuses("an unknown call", 404, lambda: account.client.calls.get("0a000000"))
    refuses("an unknown assistant", 404, lambda: account.client.assistants.get("0a000000"))
    refuses("a second way to an assistant", 400, lambda: account.create(squad_id="s"))
    refuses(
        "a call without number or socket", 400,
        lambda: account.client.calls.create(assistant_id=ASSISTANT, request_options=ONCE),
    )


def check_conversation(report):
    account, server = Account(), Server()
    call = account.create(
        assistant_overrides={
            "firstMessage": "Hi {{name}}",
            "variableValues": {"name": "Ann"},
            "metadata": {"contact_id": "con_1"},
            "server": {"url": server.url()},
        }
    )
    texts, n_bytes = converse(call.transport.websocketCallUrl)
    kinds = {it["type"] for it in texts}
    report.check("the socket's messages are known", kinds <= set(CLIENT_TYPES), kinds)
    expected = {"status-update", "speech-update", "transcript", "conversation-update", "tool-calls"}
    report.check("everything is told on the socket", kinds >= expected, kinds)
    for message in texts:
        kind = CLIENT_TYPES.get(message["type"])
        if kind is not None:
            read(report, "a message of the socket", kind, message)
    said = [it["transcript"] for it in texts if it["type"] == "transcript" and it["role"] == "assistant"]
    report.check("the assistant greets", said[:1] == ["Hi Ann"], said)
    report.check("then takes its leave", len(said) == 2, said)
    report.check("audio is heard", n_bytes >= 1600, n_bytes)

    told = server.until_report()
    messages = [it["message"] for it in told]
    report.check("the server is told of tools", any(it["type"] == "tool-calls" for it in messages))
    report.check("each in an envelope", all(set(it) == {"message"} for it in told))
    for envelope in told:
        kind = SERVER_TYPES.get(envelope["message"]["type"])
        report.check("a message to the server is known", kind is not None, envelope["message"]["type"])
        if kind is not None:
            read(report, "a message to the server", kind, envelope["message"])
    check_report(report, account, call, messages)


def check_report(report, account, call, messages):
    [told] = [it for it in messages if it["type"] == "end-of-call-report"]
    found = read(report, "the report", types.ServerMessageEndOfCallReport, told)
    if found is None:
        return
    reasons = known(types.ServerMessageEndOfCallReport, "ended_reason")
    report.check("the reason of the end is a known one", found.ended_reason in reasons, found.ended_reason)
    report.check("the assistant ended it", found.ended_reason == "assistant-ended-call", found.ended_reason)
    report.check("it is about this call", found.call.id == call.id, found.call)
    kept = found.call.assistant_overrides.metadata
    report.check("with what was given along", kept == {"contact_id": "con_1"}, kept)
    roles = [line.role for line in found.artifact.messages]
    report.check("who said what is told", roles[:2] == ["bot", "user"], roles)
    report.check("in text too", found.artifact.transcript.startswith("AI: Hi Ann\nUser: "))
    report.check("with a summary", bool(found.analysis.summary), found.analysis)
    ended = account.client.calls.get(call.id)
    report.check("the call has ended", (ended.status, ended.ended_reason) == ("ended", found.ended_reason), ended)
    read(report, "an ended call", types.Call, account.bodies[-1])
    report.check("it lasted", ended.ended_at > ended.started_at, ended)


if __name__ == "__main__":
    sys.exit(run([check_requests, check_refusals, check_conversation]))
