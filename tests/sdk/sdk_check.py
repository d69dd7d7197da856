"""Twilio's and ElevenLabs' own packages against the simulator.

Needs the packages `twilio` and `elevenlabs` and the environment that `tests/it/sim/sdk.rs` sets.
Every check prints one line; the last line counts them, and any failure makes the exit code 1.
"""

import os
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from checks import run
from elevenlabs.client import ElevenLabs
from elevenlabs.conversational_ai.conversation import (
    AudioInterface,
    ClientTools,
    Conversation,
    ConversationInitiationData,
)
from elevenlabs.core.api_error import ApiError
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

SIM_URL = os.environ["SIM_URL"]
ACCOUNT = os.environ["SIM_ACCOUNT_SID"]
TOKEN = os.environ["SIM_AUTH_TOKEN"]
FROM = os.environ["SIM_FROM"]
AGENT = os.environ["SIM_AGENT_ID"]
ALL_EVENTS = ["initiated", "ringing", "answered", "completed"]
DEADLINE_S = 15

for name in ("TWILIO_REGION", "TWILIO_EDGE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
    os.environ.pop(name, None)


def refuses(report, what, status, code, action):
    try:
        action()
    except TwilioRestException as refusal:
        report.check(what, (refusal.status, refusal.code) == (status, code), str(refusal))
    else:
        report.check(what, False, "nothing was raised")


class Dialer:
    """Answers voice webhooks with TwiML and collects status callbacks, verified officially."""

    def __init__(self):
        self.callbacks = queue.Queue()
        self.unsigned = []
        validator = RequestValidator(TOKEN)
        dialer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length).decode()
                fields = dict(parse_qsl(body, keep_blank_values=True))
                signature = self.headers.get("X-Twilio-Signature", "")
                if not validator.validate(dialer.url(self.path), fields, signature):
                    dialer.unsigned.append(self.path)
                dialer.callbacks.put((self.path, fields))
                twiml = b"<Response><Say>Hello</Say><Pause length=\"20\"/><Hangup/></Response>"
                self.send_response(200)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(twiml)))
                self.end_headers()
                self.wfile.write(twiml)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def statuses_until_final(self, sid):
        """CallStatus by sequence number of one call; `voice` requests count as None."""
        by_number, has_voice = {}, False
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            path, fields = self.callbacks.get(timeout=DEADLINE_S)
            if fields["CallSid"] != sid:
                continue
            if path == "/voice":
                has_voice = True
                continue
            by_number[int(fields["SequenceNumber"])] = fields
            finals = [n for n, told in by_number.items() if "CallDuration" in told]
            if finals and len(by_number) == finals[0] + 1:
                break
        return [by_number[n] for n in sorted(by_number)], has_voice


def twilio_client(user, password):
    client = Client(user, password, ACCOUNT)
    client.api.base_url = SIM_URL
    return client


def check_calls(report):
    dialer = Dialer()
    client = twilio_client(ACCOUNT, TOKEN)

    def dial(to, **options):
        return client.calls.create(
            to=to,
            from_=FROM,
            url=dialer.url("/voice"),
            status_callback=dialer.url("/status"),
            status_callback_event=ALL_EVENTS,
            **options,
        )

    call = dial(os.environ["SIM_TO_CONVERSES"])
    report.check("a created call is queued", call.status == "queued", call.status)
    told, has_voice = dialer.statuses_until_final(call.sid)
    statuses = [fields["CallStatus"] for fields in told]
    expected = ["initiated", "ringing", "in-progress", "completed"]
    report.check("an answered call is told in four callbacks", statuses == expected, statuses)
    report.check("its instructions are asked for", has_voice)
    report.check("it ends with SIP 200", told[-1]["SipResponseCode"] == "200", told[-1])
    fetched = client.calls(call.sid).fetch()
    report.check("fetching shows the end", fetched.status == "completed", fetched.status)
    report.check("dates are parsed", fetched.start_time is not None and fetched.end_time is not None)

    busy = dial(os.environ["SIM_TO_BUSY"], machine_detection="Enable", async_amd=True)
    told, _ = dialer.statuses_until_final(busy.sid)
    report.check("a busy call says so", told[-1]["CallStatus"] == "busy", told[-1])

    ringing = dial(os.environ["SIM_TO_NO_ANSWER"], timeout=600)
    client.calls(ringing.sid).update(status="canceled")
    told, _ = dialer.statuses_until_final(ringing.sid)
    report.check("a canceled call says so", told[-1]["CallStatus"] == "canceled", told[-1])
    report.check("all webhooks pass the official validator", not dialer.unsigned, dialer.unsigned)

    listed = client.calls.list(to=os.environ["SIM_TO_BUSY"], status="busy")
    report.check("a list can be filtered", [found.sid for found in listed] == [busy.sid], listed)
    paged = list(client.calls.stream(page_size=1))
    report.check("pages lead from one to the next", len(paged) == 3, len(paged))

    live = dial(os.environ["SIM_TO_CONVERSES"])
    while client.calls(live.sid).fetch().status != "in-progress":
        time.sleep(0.02)
    client.calls(live.sid).update(status="completed")
    told, _ = dialer.statuses_until_final(live.sid)
    report.check("a live call can be ended", told[-1]["CallStatus"] == "completed", told[-1])
    refuses(
        report, "ending it again is refused", 404, 20404,
        lambda: client.calls(live.sid).update(status="completed"),
    )
    refuses(report, "a refused number", 400, 21211, lambda: dial(os.environ["SIM_TO_REFUSED"]))
    refuses(report, "an unknown call", 404, 20404, lambda: client.calls("CA" + "0" * 32).fetch())
    stranger = twilio_client(ACCOUNT, "wrong")
    refuses(report, "a wrong token", 401, 20003, lambda: stranger.calls(live.sid).fetch())
    with_key = twilio_client(os.environ["SIM_KEY_SID"], os.environ["SIM_KEY_SECRET"])
    report.check("an API key opens the account", len(with_key.calls.list(limit=2)) == 2)
    check_account(report, client)


def check_account(report, client):
    account = client.api.v2010.accounts(ACCOUNT).fetch()
    report.check("the account is active", account.status == "active", account.status)
    balance = client.balance.fetch()
    report.check("the balance is told", balance.currency == "USD", balance.currency)
    numbers = client.incoming_phone_numbers.list(phone_number=FROM)
    report.check("the caller number is owned", [n.phone_number for n in numbers] == [FROM])


class Talker(AudioInterface):
    """Speaks for 300 ms of every second in mu-law, and counts what it hears."""

    TALK = (b"\x10" * 16 + b"\x90" * 16) * 5
    # The pitch that says: do not call me again.
    REFUSAL = (b"\x10" * 8 + b"\x90" * 8) * 10
    SILENCE = b"\xff" * 160

    def __init__(self, voice):
        self.voice = voice
        self.heard_bytes = 0
        self.n_interruptions = 0
        self.is_over = threading.Event()

    def start(self, input_callback):
        self.thread = threading.Thread(target=self.speak, args=(input_callback,), daemon=True)
        self.thread.start()

    def speak(self, input_callback):
        began = due = time.monotonic()
        while not self.is_over.wait(max(0.0, due - time.monotonic())):
            phase = (time.monotonic() - began) % 1.0
            try:
                input_callback(self.voice if 0.3 <= phase < 0.6 else self.SILENCE)
            except Exception:
                # The agent has closed the session; its end is checked by the caller.
                return
            due += 0.02

    def stop(self):
        self.is_over.set()

    def output(self, audio):
        self.heard_bytes += len(audio)

    def interrupt(self):
        self.n_interruptions += 1


def hold_conversation(client, requires_auth, variables, overrides, voice=Talker.TALK, tools=()):
    """Runs one conversation to its end; returns what was heard."""
    responses, transcripts, endings = [], [], []
    talker = Talker(voice)
    client_tools = ClientTools()
    for name, tool in tools:
        client_tools.register(name, tool)
    conversation = Conversation(
        client,
        AGENT,
        user_id="contact-42",
        requires_auth=requires_auth,
        audio_interface=talker,
        client_tools=client_tools,
        config=ConversationInitiationData(
            extra_body={}, conversation_config_override=overrides, dynamic_variables=variables
        ),
        callback_agent_response=responses.append,
        callback_user_transcript=transcripts.append,
        callback_disconnect=endings.append,
    )
    conversation.start_session()
    watchdog = threading.Timer(DEADLINE_S, conversation.end_session)
    watchdog.start()
    conversation_id = conversation.wait_for_session_end()
    watchdog.cancel()
    # Whichever thread met the closed socket first reports the ending, and it may be the talker's:
    # the session counts as ended before that report has been made.
    talker.thread.join(DEADLINE_S)
    return conversation_id, responses, transcripts, endings, talker


def check_conversations(report):
    client = ElevenLabs(api_key=os.environ["SIM_AGENT_KEY"], base_url=SIM_URL)
    overrides = {"agent": {"first_message": "Hi {{name}}"}}
    for requires_auth in (True, False):
        kind = "signed" if requires_auth else "public"
        conversation_id, responses, transcripts, endings, talker = hold_conversation(
            client, requires_auth, {"name": "Ann"}, overrides
        )
        report.check(f"{kind}: the agent greets", responses[:1] == ["Hi Ann"], responses)
        report.check(f"{kind}: the caller is understood", len(transcripts) > 0)
        report.check(f"{kind}: audio is heard", talker.heard_bytes >= 1600, talker.heard_bytes)
        ended_by_agent = [ending.reason for ending in endings] == ["agent"]
        report.check(f"{kind}: the agent ends the call", ended_by_agent, endings)
        record = finished_record(client, conversation_id)
        report.check(f"{kind}: the record is done", record.status == "done", record.status)
        lines = [line.message for line in record.transcript]
        report.check(f"{kind}: the record has the greeting", lines[:1] == ["Hi Ann"], lines)

    _, _, _, endings, _ = hold_conversation(client, True, {}, overrides)
    codes = [ending.close_code for ending in endings]
    report.check("a missing variable closes with 1008", codes == [1008], endings)
    check_opt_out(report, client)
    check_agent_refusals(report)


def check_opt_out(report, client):
    told = []

    def do_not_call(parameters):
        told.append(parameters["reason"])
        return "noted"

    _, responses, transcripts, endings, _ = hold_conversation(
        client, False, {}, {}, voice=Talker.REFUSAL, tools=[("do_not_call", do_not_call)]
    )
    report.check("opt-out: the tool is called once with the words", told == transcripts[:1], told)
    report.check("opt-out: then the agent takes its leave", len(responses) == 2, responses)
    ended_by_agent = [ending.reason for ending in endings] == ["agent"]
    report.check("opt-out: and ends the call", ended_by_agent, endings)


def check_agent_refusals(report):
    stranger = ElevenLabs(api_key="wrong", base_url=SIM_URL)
    try:
        stranger.conversational_ai.conversations.get("conv_unknown")
    except ApiError as refusal:
        report.check("a wrong agent key is refused", refusal.status_code == 401, refusal)
    else:
        report.check("a wrong agent key is refused", False)


def finished_record(client, conversation_id):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        record = client.conversational_ai.conversations.get(conversation_id)
        if record.status == "done" or time.monotonic() > deadline:
            return record
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(run([check_calls, check_conversations]))
