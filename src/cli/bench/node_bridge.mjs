// A bridge as it is usually written in Node: the ws package, one socket each way, JSON objects.
import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const agentUrl = process.argv[2];
const server = createServer();
const sockets = new WebSocketServer({ server });

sockets.on("connection", (callee) => {
  callee._socket.setNoDelay(true);
  let streamSid = null;
  let agent = null;
  callee.on("message", (data) => {
    const frame = JSON.parse(data);
    switch (frame.event) {
      case "start":
        streamSid = frame.start.streamSid;
        agent = connect();
        break;
      case "media":
        if (agent?.readyState === WebSocket.OPEN) {
          agent.send(JSON.stringify({ user_audio_chunk: frame.media.payload }));
        }
        break;
      case "stop":
        agent?.close();
        break;
    }
  });
  callee.on("close", () => agent?.close());

  function connect() {
    const socket = new WebSocket(agentUrl, { perMessageDeflate: false });
    socket.on("open", () => {
      socket._socket.setNoDelay(true);
      socket.send(JSON.stringify({ type: "conversation_initiation_client_data" }));
    });
    socket.on("message", (data) => {
      const message = JSON.parse(data);
      switch (message.type) {
        case "audio":
          callee.send(
            JSON.stringify({
              event: "media",
              streamSid,
              media: { payload: message.audio_event.audio_base_64 },
            }),
          );
          break;
        case "interruption":
          callee.send(JSON.stringify({ event: "clear", streamSid }));
          break;
        case "ping":
          socket.send(JSON.stringify({ type: "pong", event_id: message.ping_event.event_id }));
          break;
      }
    });
    socket.on("error", () => {});
    return socket;
  }
});

server.listen(0, "127.0.0.1", () => console.log(`ready ${server.address().port}`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
