/**
 * The upstream: nginx answering every POST from a file, so that it costs core 1 next to nothing.
 * `/sample…` is the service and refuses calls that carry no SigV4 signature, `/floor/…` is the same
 * for the floor, and `/json/v1/…`, `/stream/v1/…` are an OpenAI-compatible server for gateways that
 * cannot speak to the service.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { answersOk } from "./client.ts";
import type { Payloads } from "./payloads.ts";
import { type Child, freePort, loadCore, startChild, waitUntilReady } from "./processes.ts";

export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly child: Child;
}

export interface UpstreamOptions {
  readonly directory: string;
  readonly payloads: Payloads;
}

export async function startUpstream({ directory, payloads }: UpstreamOptions): Promise<Upstream> {
  const port = await freePort();
  writeFileSync(join(directory, "answer.json"), payloads.response);
  writeFileSync(join(directory, "stream.frames"), payloads.frames);
  writeFileSync(join(directory, "stream.sse"), payloads.sse);
  writeFileSync(join(directory, "nginx.conf"), createConfiguration(port, directory));
  const child = startChild({
    name: "nginx",
    command: "nginx",
    args: ["-p", directory, "-c", join(directory, "nginx.conf"), "-e", "stderr"],
    core: loadCore,
    logDirectory: directory,
  });
  await waitUntilReady({ child, probe: () => answersOk(port, "/ready") });
  return { port, child, [Symbol.asyncDispose]: child.stop };
}

/** `return 405` with `error_page 405 =200 FILE` serves the file to a POST and keeps the connection. */
function createConfiguration(port: number, directory: string): string {
  const asRoot = process.getuid?.() === 0;
  return `
daemon off;
master_process off;
worker_processes 1;
pid ${directory}/nginx.pid;
${asRoot ? "user root;" : ""}
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  client_body_buffer_size 64k;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  open_file_cache_valid 1h;
  map $http_authorization $signed {
    "~^AWS4-HMAC-SHA256 Credential=.+, SignedHeaders=.+, Signature=[0-9a-f]{64}$" 1;
    default 0;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    root ${directory};
    location = /ready { return 200 "ready"; }
    location = /floor/ready { return 200 "ready"; }
    location = /sample {
      if ($signed = 0) { return 403 "unsigned"; }
      error_page 405 =200 /answer.json; return 405;
    }
    location = /sample-with-response-stream {
      if ($signed = 0) { return 403 "unsigned"; }
      error_page 405 =200 /stream.frames; return 405;
    }
    location = /floor/sample { error_page 405 =200 /answer.json; return 405; }
    location = /floor/sample-with-response-stream { error_page 405 =200 /stream.frames; return 405; }
    location = /json/v1/chat/completions { error_page 405 =200 /answer.json; return 405; }
    location = /stream/v1/chat/completions { error_page 405 =200 /stream.sse; return 405; }
    location = /answer.json { internal; types {} default_type application/json; }
    location = /stream.frames { internal; types {} default_type application/vnd.amazon.eventstream; }
    location = /stream.sse { internal; types {} default_type text/event-stream; }
  }
}
`;
}
