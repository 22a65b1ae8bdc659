/**
 * What a trajectory id may be. [model] The service takes 1-256 characters of any kind, but the id travels in
 * the header `X-Amzn-SageMaker-Trajectory-Id`, and a header carries visible ASCII and inner spaces as they are
 * and nothing else: control characters split requests, spaces at the ends are trimmed on the way, and beyond
 * ASCII one side writes UTF-8 where the other reads latin1, so that the turns of "é" would be captured under "Ã©".
 */
import { GatewayError } from "../errors.ts";

export const maxTrajectoryIdLength = 256;

const carriable = /^[!-~](?:[ -~]{0,254}[!-~])?$/;
const uncarriable = /[^ -~]/u;

/** What keeps the text from being a trajectory id, to follow its name in a message; `undefined` where nothing does. */
export function trajectoryIdProblem(text: string): string | undefined {
  if (carriable.test(text)) return undefined;
  if (text === "") return "is empty; a trajectory id has 1 to 256 characters";
  if (text.length > maxTrajectoryIdLength) {
    return `has ${text.length} characters; a trajectory id has at most ${maxTrajectoryIdLength}`;
  }
  const bad = uncarriable.exec(text);
  if (bad !== null) {
    return `has ${describeCharacter(bad[0])} at position ${bad.index + 1}; it travels in an HTTP header, which carries only visible ASCII characters and inner spaces unchanged (a header would turn UTF-8 into latin1)`;
  }
  return "begins or ends with a space, which an HTTP header loses";
}

/** The text, or `invalid_identity` that names `where` it stood. */
export function checkTrajectoryId(text: string, where: string): string {
  const problem = trajectoryIdProblem(text);
  if (problem === undefined) return text;
  throw new GatewayError("invalid_identity", `The trajectory id in ${where} ${problem}.`, {
    param: "trajectory_id",
  });
}

/**
 * Ids that a path cannot name: `.` and `..` are resolved away by every URL parser, and `/rollouts/v1/…` is what
 * is left of `/rollouts/$ID/v1/…` when `$ID` is empty, so that a whole run's turns would go to a trajectory "v1".
 */
const unfitForPath: ReadonlySet<string> = new Set([".", "..", "v1"]);

/** A path segment's trajectory id, decoded and checked. */
export function decodeTrajectoryId(segment: string): string {
  const id = segment.includes("%") ? decodeSegment(segment) : segment;
  checkPathTrajectoryId(id, "the path, /rollouts/{trajectory}/…,");
  return id;
}

/** As checkTrajectoryId, for an id that has to fit into a base URL's path as well. */
export function checkPathTrajectoryId(id: string, where: string): string {
  checkTrajectoryId(id, where);
  if (!unfitForPath.has(id)) return id;
  const why =
    id === "v1" ? "which is how a base URL with an empty id reads" : "which URLs resolve away";
  throw new GatewayError(
    "invalid_identity",
    `The trajectory id in ${where} is ${quote(id)}, ${why}. Use http://<turnpike>/rollouts/<trajectory>/v1 with another id, or name this one by the header X-Amzn-SageMaker-Trajectory-Id.`,
    { param: "trajectory_id" },
  );
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new GatewayError(
      "invalid_identity",
      `The trajectory id in the path, ${quote(segment)}, is not valid percent-encoding: each % is followed by two hexadecimal digits that together are UTF-8. A % that belongs to the id is written %25.`,
      { cause, param: "trajectory_id" },
    );
  }
}

/** A caller's text in a message: quoted, its control characters escaped, at most 300 characters of it. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text);
}

function describeCharacter(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  const name = `U+${codePoint.toString(16).toUpperCase().padStart(4, "0")}`;
  return codePoint <= 0x20 || (codePoint >= 0x7f && codePoint < 0xa0)
    ? `the control character ${name}`
    : `${JSON.stringify(character)} (${name})`;
}
