/** What stands behind the service: something that answers an OpenAI chat-completion request. */

export interface ModelCall {
  /** The request's bytes as they came. */
  readonly body: Uint8Array;
  /** The same, parsed. */
  readonly request: Readonly<Record<string, unknown>>;
  /** The answer is to be a stream: the operation says so, not the body [inferred]. */
  readonly stream: boolean;
  /** 1 for the trajectory's first turn. Calls in flight at once may have the same number. */
  readonly turn: number;
  /** Aborted when the client has left or the simulator closes. */
  readonly signal: AbortSignal;
}

/** Either the whole answer, or SSE events, each with its closing blank line. */
export type ModelAnswer =
  | { readonly kind: "whole"; readonly contentType: string; readonly body: Uint8Array }
  | {
      readonly kind: "stream";
      readonly contentType: string;
      readonly events: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
    };

/** Throws a ServiceError for a request the model refuses. */
export interface Model {
  answer(call: ModelCall): Promise<ModelAnswer> | ModelAnswer;
  close?(): Promise<void>;
}
