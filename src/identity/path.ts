/** The `{id}` of `/rollouts/{id}/…` as it was sent: routers decode it, and a `%2F` or a broken `%` must not be lost. */

/** An empty segment is kept: `/rollouts//v1` names a trajectory, wrongly, and not the trajectory "v1". */
const rolloutPath = /^(?:https?:\/\/[^/]+)?\/+rollouts\/([^/?#]*)/;

/** Still percent-encoded; `undefined` where the target (`IncomingMessage.url`) is not below a rollout. */
export function rolloutPathSegment(target: string): string | undefined {
  // Most requests are not: the regular expression is kept for those that may be.
  return target.includes("rollouts") ? rolloutPath.exec(target)?.[1] : undefined;
}
