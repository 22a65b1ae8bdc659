/** A hand-written service, for answers the simulator would never give. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface RawUpstream extends AsyncDisposable {
  readonly url: string;
  readonly requests: IncomingMessage[];
}

/** Request bodies are read before `answer` is called. */
export async function startRawUpstream(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<RawUpstream> {
  const requests: IncomingMessage[] = [];
  const server: Server = createServer((request, response) => {
    request.resume().on("end", () => {
      requests.push(request);
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
