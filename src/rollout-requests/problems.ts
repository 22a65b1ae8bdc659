/** Everything that is wrong with a rollout request, told at once. */
import { GatewayError, toGatewayError } from "../errors.ts";

export class Problems {
  readonly #found: GatewayError[] = [];

  add(error: GatewayError): void {
    this.#found.push(error);
  }

  /** A field that cannot be what it is. */
  invalid(param: string, message: string): void {
    this.add(new GatewayError("invalid_request", message, { param }));
  }

  /** What `read` returns, or `undefined` and one problem more. */
  attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (thrown) {
      const error = toGatewayError(thrown);
      if (error.code === "internal") throw thrown;
      this.add(error);
      return undefined;
    }
  }

  /** Throws what was found: a single problem as it is, several as one `invalid_request` that lists them. */
  throwIfAny(): void {
    const [first] = this.#found;
    if (first === undefined) return;
    if (this.#found.length === 1) throw first;
    const list = this.#found.map(({ message }, at) => `${at + 1}. ${message}`).join(" ");
    throw new GatewayError(
      "invalid_request",
      `The rollout request has ${this.#found.length} problems. ${list}`,
      first.param === null ? {} : { param: first.param },
    );
  }
}
