/**
 * The floor: what any Node proxy has to pay. node:http in, undici's `dispatch` out (its fastest way),
 * nothing between: no routing, no signing, no parsing, no logging, no limits. Bodies are forwarded
 * whole, answers as they come. Arguments: port, upstream port.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type Dispatcher, Pool } from "undici";

const [port, upstreamPort] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${upstreamPort}`);

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => forward(request, response, chunks));
});

function forward(request: IncomingMessage, response: ServerResponse, chunks: Buffer[]): void {
  const { method = "GET", url = "/" } = request;
  const contentType = request.headers["content-type"] ?? "application/json";
  const body = chunks.length === 1 ? (chunks[0] ?? null) : Buffer.concat(chunks);
  pool.dispatch(
    {
      path: url,
      method: method as Dispatcher.HttpMethod,
      headers: ["content-type", contentType],
      body: method === "GET" ? null : body,
    },
    {
      onRequestStart: () => undefined,
      onResponseStart: (_, status, headers) => {
        response.writeHead(status, headers);
      },
      onResponseData: (controller, chunk) => {
        if (response.write(chunk)) return;
        controller.pause();
        response.once("drain", () => controller.resume());
      },
      onResponseEnd: () => {
        response.end();
      },
      onResponseError: () => {
        response.destroy();
      },
    },
  );
}

server.listen({ port, host: "127.0.0.1", backlog: 4096 });
