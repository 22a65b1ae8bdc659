/**
 * An upstream whose streams take their time: one event a second, the last of them [DONE]. Frames for
 * the service's paths, SSE text for an OpenAI-compatible server's. Arguments: port, events a stream.
 */
import { createServer, type ServerResponse } from "node:http";
import { createStream } from "./payloads.ts";

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
const intervalMs = 1_000;
const streams = createStream(count);

const server = createServer((request, response) => {
  if (request.method === "GET") {
    response.end("ready");
    return;
  }
  const sse = request.url?.includes("/v1/chat/completions") ?? false;
  request.resume();
  request.once("end", () => {
    response.writeHead(200, {
      "content-type": sse ? "text/event-stream" : "application/vnd.amazon.eventstream",
    });
    writeSlowly(response, sse ? streams.events : streams.eventFrames);
  });
});

/** The first part at once, then one a second. */
function writeSlowly(response: ServerResponse, parts: readonly Buffer[]): void {
  let next = 0;
  const write = () => {
    response.write(parts[next++]);
    if (next < parts.length) return;
    clearInterval(timer);
    response.end();
  };
  const timer = setInterval(write, intervalMs);
  response.once("close", () => clearInterval(timer));
  write();
}

server.listen({ port, host: "127.0.0.1", backlog: 4096 });
