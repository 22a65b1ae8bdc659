/**
 * The floor: what any Node proxy has to pay. node:http in, undici out, nothing between: no routing,
 * no signing, no parsing, no logging, no limits. Arguments: port, upstream port.
 */
import { createServer } from "node:http";
import { Pool } from "undici";

const [port, upstreamPort] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${upstreamPort}`);

const server = createServer((request, response) => {
  const { method = "GET", url = "/" } = request;
  const headers = {
    "content-type": request.headers["content-type"] ?? "",
    "content-length": request.headers["content-length"] ?? "0",
  };
  const body = method === "POST" ? request : null;
  pool
    .stream({ path: url, method, headers, body, opaque: response }, (upstream) => {
      response.writeHead(upstream.statusCode, upstream.headers);
      return response;
    })
    .catch(() => response.destroy());
});

server.listen({ port, host: "127.0.0.1", backlog: 4096 });
