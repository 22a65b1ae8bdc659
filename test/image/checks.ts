/** A list of checks that goes on after a failure and ends with one line of counts. */
export class Checks {
  #passed = 0;
  #failed = 0;

  /** Runs `body`; a throw is a failure of this check only. Returns what it returned, or undefined. */
  async check<T>(name: string, body: () => Promise<T> | T): Promise<T | undefined> {
    try {
      const result = await body();
      this.#passed += 1;
      say(`ok      ${name}${typeof result === "string" ? `: ${result}` : ""}`);
      return result;
    } catch (error) {
      this.#failed += 1;
      say(`FAILED  ${name}: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  }

  /** Prints the counts and returns the exit code. */
  summary(): number {
    say(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 ? 0 : 1;
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
